using Pipeline.Runs;

namespace Pipeline.Chaos;

/// <summary>
/// Holds what a run has recorded against the unsplit trainer, line by line and to the last bit, and keeps account of the samples: a step takes the next ones
/// of the epoch's order, so that each is used exactly once if each step is recorded exactly once, without a gap; and each was committed by one generation, later steps by no earlier one.
/// </summary>
internal sealed class RunLedger(TinyTraining tiny, TextWriter output, params string[] settings)
{
    /// <summary>References are made for so many steps more than they would have to be, so that few are made.</summary>
    private const int Granularity = 5000;

    // The last word of a line of bits.
    private const string Digest = " digest=";

    /// <summary>Whether every line is as it must be; says so, or where it is not.</summary>
    internal async Task<bool> HoldsAsync(string run, RunFiles files)
    {
        StepMetrics[] steps = [.. MetricsReader.Read(files.Metrics).OfType<StepMetrics>()];
        if (FaultOf(steps) is { } fault)
        {
            output.WriteLine($"{run}: {fault}");
            return false;
        }

        // The last evaluation depends on where the run was stopped.
        string[] lines = [.. RunBits.Of(files.Folder).Lines.Where(IsStep)];
        var reference = (await tiny.ReferenceAsync((steps.Length / Granularity + 1) * Granularity, settings)).Lines.Where(IsStep).ToArray();
        var first = Enumerable.Range(0, lines.Length).FirstOrDefault(index => !IsAsIn(reference.ElementAtOrDefault(index), lines[index]), -1);
        var (generations, undigested) = (steps.Select(step => step.Generation).Distinct().Count(), lines.Count(line => !line.Contains(Digest, StringComparison.Ordinal)));
        output.WriteLine(first < 0
            ? $"{run}: {steps.Length} steps, each once and so each sample, each by one of {generations} generations, every bit as in the unsplit trainer{(undigested > 0 ? $"; {undigested} have no digest, since the leader and a rank were lost before its report was recorded" : "")}"
            : $"{run}: DIVERGES at line {first + 1}:\n  {lines[first]}\n  {reference.ElementAtOrDefault(first)}");
        return first < 0;
    }

    /// <summary>A digest is whole or absent.</summary>
    private static bool IsAsIn(string? reference, string line) =>
        line == reference || (reference?.StartsWith(line + Digest, StringComparison.Ordinal) == true);

    /// <summary>
    /// Whether steps were recorded once each, in their order, by generations of which none came back after a newer one had committed; as a sentence if not. A step that two generations
    /// had committed would stand there twice, or after one of a newer generation.
    /// </summary>
    private static string? FaultOf(StepMetrics[] steps)
    {
        for (var index = 0; index < steps.Length; index++)
        {
            if (steps[index].Step != index + 1) return $"SAMPLES ARE NOT USED ONCE: line {index + 1} of the steps is that of step {steps[index].Step}";
            if (steps[index].Generation is not { } generation) return $"NOBODY HAS COMMITTED step {index + 1}: its line names no generation";
            if (index > 0 && generation < steps[index - 1].Generation) return $"A REPLACED GENERATION COMMITS: step {index + 1} is of generation {generation}, the one before of {steps[index - 1].Generation}";
        }

        return null;
    }

    private static bool IsStep(string line) => !line.Contains("val_loss", StringComparison.Ordinal);
}
