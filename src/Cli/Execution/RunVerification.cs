using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>What recomputing a part of a run showed.</summary>
/// <param name="FromStep">Checkpoint that it began from; 0 for the initial state.</param>
/// <param name="ThroughStep">Last recomputed step.</param>
/// <param name="DigestCount">Digests that were compared.</param>
/// <param name="Difference">The first difference, as a sentence; null where all bits agree.</param>
internal sealed record VerificationResult(long FromStep, long ThroughStep, int DigestCount, string? Difference);

/// <summary>Holds recorded steps of a run against the unsplit trainer, bit for bit: loss, gradient norm, and the state where a digest was taken.</summary>
internal static class RunVerification
{
    /// <summary>Recomputes some steps after the newest checkpoint that has recorded steps behind it.</summary>
    /// <param name="run">The run.</param>
    /// <param name="stepCount">Steps to recompute at most.</param>
    /// <param name="from">Step of the checkpoint to begin from; null to choose.</param>
    /// <param name="progress">Told what is being done.</param>
    public static VerificationResult Verify(StoredRun run, int stepCount, long? from, Action<string> progress)
    {
        var recorded = MetricsReader.Read(run.Files.Metrics).OfType<StepMetrics>().ToDictionary(step => step.Step);
        var digests = DigestFile.Read(run.Files.Digests).ToDictionary(digest => digest.Step);
        var start = from ?? run.StartingPoints().Where(step => recorded.ContainsKey(step + 1)).DefaultIfEmpty(-1).Max();
        if (start < 0 || !recorded.ContainsKey(start + 1)) throw new UsageException($"The run has recorded no step after step {Math.Max(start, 0)}: there is nothing to verify.");
        using var replay = new Replay(run, start);
        var compared = 0;
        if (Compare(replay, digests, ref compared) is { } atStart) return new VerificationResult(start, start, compared, $"the checkpoint of step {start} {atStart}");
        for (var step = start + 1; step <= start + stepCount && recorded.TryGetValue(step, out var line); step++)
        {
            progress($"recomputing step {step} of {run.Files.Folder}");
            var result = replay.Advance();
            if (!Same(result.Loss, line.Loss)) return new VerificationResult(start, step, compared, $"step {step}: the loss is {line.Loss:R} in the run and {result.Loss:R} recomputed");
            if (!Same(result.GradientNorm, line.GradientNorm))
                return new VerificationResult(start, step, compared, $"step {step}: the gradient norm is {line.GradientNorm:R} in the run and {result.GradientNorm:R} recomputed");
            if (Compare(replay, digests, ref compared) is { } difference) return new VerificationResult(start, step, compared, $"step {step}: the state {difference}");
        }

        return new VerificationResult(start, replay.Step, compared, null);
    }

    private static string? Compare(Replay replay, Dictionary<long, StepDigests> digests, ref int compared)
    {
        if (!digests.TryGetValue(replay.Step, out var stored)) return null;
        compared++;
        return DigestComparison.Between(stored, DigestComparison.Stored(replay.Step, replay.Digests())) is { } parted
            ? $"differs from the run's digest, first in unit {parted.Unit}, tensor {DigestComparison.NameOf(parted)}"
            : null;
    }

    private static bool Same(double left, double right) => BitConverter.DoubleToInt64Bits(left) == BitConverter.DoubleToInt64Bits(right);
}
