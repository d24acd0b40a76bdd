using System.Diagnostics;
using System.Globalization;
using Pipeline.Stages;

namespace Pipeline.Cli.Execution;

/// <summary>
/// For tests: kills this process, as <c>kill -9</c> would, when a rank passes a given point. <c>PIPELINE_FAULT</c> names it, such as
/// <c>rank=1,step=7,at=backward</c>; with <c>generation=2</c> it strikes the rank's second assignment, that is, during a recovery.
/// </summary>
/// <param name="Rank">Rank.</param>
/// <param name="Step">Step under way.</param>
/// <param name="At">Point.</param>
/// <param name="Generation">Assignment.</param>
internal sealed record FaultHook(int Rank, long Step, string At, int Generation)
{
    /// <summary>The environment variable.</summary>
    public const string Variable = "PIPELINE_FAULT";

    private static readonly string[] Points = ["load", "forward", "backward", "optimizer", "copy", "save", "evaluate"];

    /// <summary>The hook that the environment names; null for none.</summary>
    /// <exception cref="UsageException">The variable cannot be read.</exception>
    public static FaultHook? From(IReadOnlyDictionary<string, string> variables)
    {
        if (variables.GetValueOrDefault(Variable) is not { Length: > 0 } text) return null;
        var parts = text.Split(',').Select(part => part.Split('=', 2)).Where(part => part.Length == 2).ToDictionary(part => part[0].Trim(), part => part[1].Trim(), StringComparer.Ordinal);
        if (!Points.Contains(parts.GetValueOrDefault("at"))) throw new UsageException($"{Variable}={text}: expected at= with one of {string.Join(", ", Points)}.");
        return new FaultHook(Number("rank", 0), Number("step", 0), parts["at"], Number("generation", 1));

        int Number(string name, int otherwise) => parts.TryGetValue(name, out var value) ? int.Parse(value, CultureInfo.InvariantCulture) : otherwise;
    }

    /// <summary>Strikes if this is the point.</summary>
    public void Pass(StagePoint point)
    {
        if (point.Rank != Rank || point.Step != Step || point.Name != At || point.Generation.Number != Generation) return;
        using var self = Process.GetCurrentProcess();
        self.Kill();
    }
}
