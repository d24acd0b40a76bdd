using System.CommandLine;
using Pipeline.Cli;
using Pipeline.Cli.Commands;

namespace Pipeline.Tests.Cli;

/// <summary>One command line run within the test process, with what it printed.</summary>
internal sealed record CommandLineRun(int Code, string Output, string Error)
{
    /// <summary>What it said on the errors' stream, without how far it has come: that depends on the machine.</summary>
    public string Complaints => string.Join('\n', Error.Split('\n').Where(line => !line.TrimEnd().EndsWith('…')));

    public static CommandLineRun Of(params string[] arguments) => Of(new Dictionary<string, string>(), CommandTree.Create, arguments);

    public static CommandLineRun Of(IReadOnlyDictionary<string, string> variables, Func<CommandContext, RootCommand> tree, params string[] arguments)
    {
        using StringWriter output = new();
        using StringWriter error = new();
        CommandContext context = new() { Output = output, Error = error, Variables = variables };
        var code = CommandLine.RunAsync(tree(context), arguments, context).GetAwaiter().GetResult();
        return new(code, output.ToString(), error.ToString());
    }
}

/// <summary>A folder that goes with the test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("pipeline-cli-").FullName;

    public string File(string name, string text)
    {
        var path = System.IO.Path.Combine(Path, name);
        System.IO.File.WriteAllText(path, text);
        return path;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
