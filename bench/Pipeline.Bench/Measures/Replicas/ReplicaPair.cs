using System.Diagnostics;
using System.Reflection;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>This process and a child of it as two replicas. The child is told what to do on its command line; the two meet over its standard streams.</summary>
internal static class ReplicaPair
{
    /// <summary>The word that makes this program the child.</summary>
    internal const string ChildWord = "replica-child";

    /// <summary>Runs a specification in both processes.</summary>
    /// <returns>What the parent saw.</returns>
    internal static ReplicaResult Run(ReplicaSpec spec)
    {
        using var child = StartChild(spec.ToText());
        using var side = new ReplicaSide(0, spec);
        side.Connect(Exchange(child.StandardInput, child.StandardOutput, side.Address));
        var result = side.Run(line => Exchange(child.StandardInput, child.StandardOutput, line));
        child.StandardInput.Close();
        child.WaitForExit();
        return child.ExitCode == 0 ? result : throw new InvalidOperationException($"The other replica ended with {child.ExitCode}.");
    }

    /// <summary>What the child does.</summary>
    internal static int RunChild(string specification)
    {
        using var side = new ReplicaSide(1, ReplicaSpec.Parse(specification));
        side.Connect(Exchange(Console.Out, Console.In, side.Address));
        side.Run(line => Exchange(Console.Out, Console.In, line));
        return 0;
    }

    /// <summary>Starts this program again.</summary>
    internal static Process StartChild(params string[] words)
    {
        var program = Environment.ProcessPath ?? throw new InvalidOperationException("This process has no path.");
        var isHost = Path.GetFileNameWithoutExtension(program) == "dotnet";
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true, UseShellExecute = false };
        if (isHost) start.ArgumentList.Add(Assembly.GetEntryAssembly()!.Location);
        start.ArgumentList.Add(ChildWord);
        foreach (var word in words) start.ArgumentList.Add(word);
        return Process.Start(start) ?? throw new InvalidOperationException($"{program} did not start.");
    }

    /// <summary>Says a line and hears one: both have come to the same place.</summary>
    internal static string Exchange(TextWriter to, TextReader from, string line)
    {
        to.WriteLine(line);
        to.Flush();
        return from.ReadLine() ?? throw new IOException("The other replica is gone.");
    }
}
