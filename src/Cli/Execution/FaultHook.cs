using System.Diagnostics;
using System.Globalization;
using Pipeline.Stages;

namespace Pipeline.Cli.Execution;

/// <summary>
/// For tests: kills this process, as <c>kill -9</c> would, when a rank passes a given point. <c>PIPELINE_FAULT</c> names it, such as
/// <c>rank=1,step=7,at=backward</c>; with <c>generation=2</c> it strikes the rank's second assignment, that is, during a recovery, and with
/// <c>once=FILE</c> in any generation if the file is not there, which it makes. Several are parted by semicolons.
/// </summary>
/// <param name="Rank">Rank.</param>
/// <param name="Step">Step under way.</param>
/// <param name="At">Point.</param>
/// <param name="Generation">Assignment.</param>
/// <param name="Marker">File that says that it has struck; null where the assignment decides.</param>
internal sealed record FaultHook(int Rank, long Step, string At, int Generation, string? Marker)
{
    /// <summary>The environment variable.</summary>
    public const string Variable = "PIPELINE_FAULT";

    private static readonly string[] Points = ["load", "forward", "backward", "optimizer", "copy", "save", "evaluate"];

    /// <summary>The hooks that the environment names.</summary>
    /// <exception cref="UsageException">The variable cannot be read.</exception>
    public static IReadOnlyList<FaultHook> From(IReadOnlyDictionary<string, string> variables) =>
        [.. (variables.GetValueOrDefault(Variable) ?? "").Split(';', StringSplitOptions.RemoveEmptyEntries).Select(Parse)];

    private static FaultHook Parse(string text)
    {
        var parts = text.Split(',').Select(part => part.Split('=', 2)).Where(part => part.Length == 2).ToDictionary(part => part[0].Trim(), part => part[1].Trim(), StringComparer.Ordinal);
        if (!Points.Contains(parts.GetValueOrDefault("at"))) throw new UsageException($"{Variable}={text}: expected at= with one of {string.Join(", ", Points)}.");
        return new FaultHook(Number("rank", 0), Number("step", 0), parts["at"], Number("generation", 1), parts.GetValueOrDefault("once"));

        int Number(string name, int otherwise) => parts.TryGetValue(name, out var value) ? int.Parse(value, CultureInfo.InvariantCulture) : otherwise;
    }

    /// <summary>Strikes if this is the point.</summary>
    public void Pass(StagePoint point)
    {
        if (point.Rank != Rank || point.Step != Step || point.Name != At || !IsTurn(point.Generation.Number)) return;
        using var self = Process.GetCurrentProcess();
        self.Kill();
    }

    private bool IsTurn(int generation)
    {
        if (Marker is not { } marker) return generation == Generation;
        try
        {
            using FileStream struck = new(marker, FileMode.CreateNew);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }
}
