using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>Where two runs part.</summary>
/// <param name="Step">First step after which their states differ; null where they agree as far as both go.</param>
/// <param name="Unit">First unit in the model's order that differs then.</param>
/// <param name="Tensor">First tensor of it.</param>
/// <param name="Explanation">What was compared and found, in a sentence.</param>
internal sealed record BisectionResult(long? Step, string? Unit, string? Tensor, string Explanation);

/// <summary>
/// Finds the first step, unit and tensor at which two runs part: from their digests where these are close enough, else by recomputing
/// both from the last state that they shared.
/// </summary>
internal static class RunBisection
{
    public static BisectionResult Find(StoredRun left, StoredRun right, Action<string> progress)
    {
        var (mine, others) = (Digests(left), Digests(right));
        var common = mine.Keys.Where(others.ContainsKey).Order().ToArray();
        if (common.Length == 0) throw new UsageException("The runs have no digest of the same step: train both with run.digest-every above 0.");
        var parted = common.Select(step => (Step: step, Tensor: DigestComparison.Between(mine[step], others[step]))).FirstOrDefault(entry => entry.Tensor is not null);
        if (parted.Tensor is null) return new BisectionResult(null, null, null, $"The runs agree in every bit of their state at the {common.Length} steps with digests, the last of them {common[^1]}.");
        var shared = common.Where(step => step < parted.Step).DefaultIfEmpty(0).Max();
        if (parted.Step == shared + 1) return Found(parted.Step, parted.Tensor, $"digests agree through step {shared}");
        progress($"digests agree through step {shared} and differ at step {parted.Step}; recomputing what lies between");
        return Recompute(left, right, mine, others, shared, parted.Step, progress);
    }

    private static BisectionResult Recompute(
        StoredRun left, StoredRun right, Dictionary<long, StepDigests> mine, Dictionary<long, StepDigests> others, long shared, long parted, Action<string> progress)
    {
        using var first = new Replay(left, Start(left, shared));
        using var second = new Replay(right, Start(right, shared));
        while (first.Step < shared) first.Advance();
        while (second.Step < shared) second.Advance();
        while (first.Step < parted)
        {
            progress($"recomputing step {first.Step + 1} of both runs");
            first.Advance();
            second.Advance();
            var (a, b) = (DigestComparison.Stored(first.Step, first.Digests()), DigestComparison.Stored(second.Step, second.Digests()));
            if (DigestComparison.Between(a, b) is { } tensor) return Found(first.Step, tensor, $"both were recomputed from step {shared}");
        }

        var recomputed = DigestComparison.Stored(parted, first.Digests());
        var (leftHolds, rightHolds) = (DigestComparison.Between(recomputed, mine[parted]) is null, DigestComparison.Between(recomputed, others[parted]) is null);
        var astray = leftHolds ? right : left;
        var tensorAstray = DigestComparison.Between(recomputed, leftHolds ? others[parted] : mine[parted])!;
        var step = FirstOwnDeviation(astray, shared, parted, progress);
        var who = leftHolds == rightHolds ? "neither run follows its own settings" : $"{astray.Files.Folder} did not follow its own settings";
        return new BisectionResult(step, tensorAstray.Unit, DigestComparison.NameOf(tensorAstray),
            $"The settings of both give the same state through step {parted}, but {who}: its losses show it after step {step}; at the digest of step {parted} the first tensor that differs is {DigestComparison.NameOf(tensorAstray)}.");
    }

    /// <summary>The loss of step k tells of the weights after step k − 1.</summary>
    private static long FirstOwnDeviation(StoredRun run, long shared, long parted, Action<string> progress)
    {
        var recorded = MetricsReader.Read(run.Files.Metrics).OfType<StepMetrics>().ToDictionary(step => step.Step);
        using var replay = new Replay(run, Start(run, shared));
        while (replay.Step < parted)
        {
            var result = replay.Advance();
            if (replay.Step <= shared || !recorded.TryGetValue(replay.Step, out var line)) continue;
            progress($"holding the loss of step {replay.Step} against its recomputation");
            if (!line.Loss.Equals(result.Loss)) return replay.Step - 1;
            if (!line.GradientNorm.Equals(result.GradientNorm)) return replay.Step;
        }

        return parted;
    }

    private static long Start(StoredRun run, long atMost) => run.StartingPoints().Where(step => step <= atMost).Max();

    private static Dictionary<long, StepDigests> Digests(StoredRun run) => DigestFile.Read(run.Files.Digests).ToDictionary(digest => digest.Step);

    private static BisectionResult Found(long step, DigestDifference tensor, string how) =>
        new(step, tensor.Unit, DigestComparison.NameOf(tensor), $"The runs part at step {step}, first in unit {tensor.Unit}, tensor {DigestComparison.NameOf(tensor)} ({how}).");
}
