using System.CommandLine;
using System.Text.Json;
using Pipeline.Cli.Execution;
using Pipeline.Model.Numerics;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline bisect A B</c>: the first step, unit and tensor at which two runs part.</summary>
internal static class BisectCommand
{
    public static Command Create(CommandContext context)
    {
        Argument<string> first = new("A") { Description = "Directory of a run." };
        Argument<string> second = new("B") { Description = "Directory of another run of the same model." };
        var json = ConfigCommand.JsonOption();
        TaughtCommand command = new("bisect", "Names the first step, unit and tensor at which two runs part. Exit code 1 if they do.")
        {
            Examples = [("pipeline bisect runs/a runs/b", "compares digests, and recomputes the steps between two of them where that is needed")],
        };
        command.Add(first);
        command.Add(second);
        command.Add(json);
        command.SetAction(parsed =>
        {
            TorchRuntime.Initialize();
            using var left = StoredRun.Open(parsed.GetValue(first)!, context, CancellationToken.None);
            using var right = StoredRun.Open(parsed.GetValue(second)!, context, CancellationToken.None);
            var result = RunBisection.Find(left, right, context.Error.WriteLine);
            context.Output.WriteLine(parsed.GetValue(json) ? JsonSerializer.Serialize(result, JsonOutput.Options) : result.Explanation);
            return result.Step is null ? ExitCode.Done : ExitCode.Failed;
        });
        return command;
    }
}
