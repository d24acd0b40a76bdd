using Pipeline.Runs;

namespace Pipeline.Chaos;

/// <summary>
/// Holds what a run has recorded against the unsplit trainer, line by line and to the last bit, and keeps account of the samples: a step takes the next ones
/// of the epoch's order, so that each is used exactly once if each step is recorded exactly once, without a gap.
/// </summary>
internal sealed class RunLedger(TinyTraining tiny, TextWriter output, params string[] settings)
{
    /// <summary>References are made for so many steps more than they would have to be, so that few are made.</summary>
    private const int Granularity = 5000;

    /// <summary>Whether every line is as it must be; says so, or where it is not.</summary>
    internal async Task<bool> HoldsAsync(string run, RunFiles files)
    {
        long[] steps = [.. MetricsReader.Read(files.Metrics).OfType<StepMetrics>().Select(line => line.Step)];
        if (Enumerable.Range(0, steps.Length).FirstOrDefault(index => steps[index] != index + 1, -1) is var odd and >= 0)
        {
            output.WriteLine($"{run}: SAMPLES ARE NOT USED ONCE: line {odd + 1} of the steps is that of step {steps[odd]}");
            return false;
        }

        // The last evaluation depends on where the run was stopped.
        string[] lines = [.. RunBits.Of(files.Folder).Lines.Where(IsStep)];
        var reference = (await tiny.ReferenceAsync((steps.Length / Granularity + 1) * Granularity, settings)).Lines.Where(IsStep).ToArray();
        var first = Enumerable.Range(0, lines.Length).FirstOrDefault(index => lines[index] != reference.ElementAtOrDefault(index), -1);
        output.WriteLine(first < 0
            ? $"{run}: {steps.Length} steps, each once and so each sample, every bit as in the unsplit trainer"
            : $"{run}: DIVERGES at line {first + 1}:\n  {lines[first]}\n  {reference.ElementAtOrDefault(first)}");
        return first < 0;
    }

    private static bool IsStep(string line) => !line.Contains("val_loss", StringComparison.Ordinal);
}
