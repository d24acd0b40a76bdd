using System.Collections.Concurrent;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Stages;
using Pipeline.Training;
using TorchSharp;

namespace Pipeline.Tests.Training;

/// <summary>A model of eight units that trains in milliseconds, and what the reference trainer makes of it.</summary>
internal static class TinyRun
{
    internal const ulong Seed = 17;

    private static readonly ConcurrentDictionary<(int, bool, Precision, long), IReadOnlyList<ReferenceStep>> References = new();

    internal static OptimizerSettings Optimizer { get; } = new() { LearningRate = 0.01, Warmup = 2, Horizon = 20, Clip = 0.5 };

    internal static ModelSettings Settings(bool tied) => new()
    {
        Layers = 3,
        Width = 32,
        Heads = 2,
        KeyValueHeads = 2,
        Context = 8,
        Vocabulary = 64,
        Tied = tied,
        Dropout = 0.1,
    };

    internal static TrainingPlan Plan(int stageCount, int microBatchCount, bool tied = true, Precision precision = Precision.Fp32, long steps = 5) => new()
    {
        Units = DecoderTransformer.Units(Settings(tied)),
        Batches = new SyntheticBatches(microBatchCount),
        Optimizer = Optimizer,
        Steps = steps,
        StageCount = stageCount,
        Precision = precision,
        Seed = Seed,
        Recording = new RecordingDuties(1, 0, 0),
    };

    /// <summary>What the unsplit model does in the same steps, computed once.</summary>
    internal static IReadOnlyList<ReferenceStep> Reference(int microBatchCount, bool tied, Precision precision, long steps = 5) =>
        References.GetOrAdd((microBatchCount, tied, precision, steps), _ => Train(Plan(1, microBatchCount, tied, precision, steps)));

    /// <summary>Asserts that committed steps are those of the reference, to the bit: loss, norm, every weight and both moments.</summary>
    /// <param name="expected">What the unsplit model did.</param>
    /// <param name="actual">What was committed.</param>
    /// <param name="allowsMissingDigests">Whether a step may have no digest: a rank's report was lost with it.</param>
    internal static void AssertEqual(IReadOnlyList<ReferenceStep> expected, IEnumerable<StepSummary> actual, bool allowsMissingDigests = false)
    {
        var steps = actual.ToArray();
        Xunit.Assert.Equal(expected.Select(step => step.Result.Step), steps.Select(step => step.Step));
        foreach (var (reference, step) in expected.Zip(steps))
        {
            Xunit.Assert.Equal(Bits(reference.Result.Loss), Bits(step.Loss));
            Xunit.Assert.Equal(Bits(reference.Result.GradientNorm), Bits(step.GradientNorm));
            Xunit.Assert.Equal(reference.Result.TokenCount, step.TokenCount);
            if (!allowsMissingDigests || step.Digests.Count > 0) Xunit.Assert.Equal(reference.Digests, step.Digests);
        }
    }

    /// <summary>Asserts that the newest checkpoint holds the weights and moments of a step of the reference, to the bit.</summary>
    internal static void AssertHolds(ICheckpointStore store, TrainingPlan plan, ReferenceStep expected)
    {
        using var checkpoint = store.OpenLatest().Require();
        using var model = new StageModel(plan.Units, 0, plan.Units.Count, new StageOptions(plan.Precision, torch.CPU, plan.Seed));
        StateLoader.Load(model, checkpoint);
        Xunit.Assert.Equal(expected.Result.Step, checkpoint.Step);
        Xunit.Assert.Equal(expected.Digests, StateDigest.Of(model));
    }

    /// <summary>What a step came to, to the bit.</summary>
    internal static (long Loss, long Norm, string Digests) BitsOf(StepSummary step) => (Bits(step.Loss), Bits(step.GradientNorm), string.Join(' ', step.Digests));

    /// <summary>The same without its digests, which a loss may take with it.</summary>
    internal static (long Step, long Loss, long Norm) LossBitsOf(StepSummary step) => (step.Step, Bits(step.Loss), Bits(step.GradientNorm));

    internal static IReadOnlyList<ReferenceStep> Train(TrainingPlan plan)
    {
        TorchRuntime.Initialize();
        TorchRuntime.UseThreads(1);
        using var model = new StageModel(plan.Units, 0, plan.Units.Count, new StageOptions(plan.Precision, torch.CPU, plan.Seed));
        var trainer = new ReferenceTrainer(model, plan.Batches, plan.Optimizer, plan.Summation, plan.ReplicaCount, plan.SharesGradients && plan.ReplicaCount > 1);
        List<ReferenceStep> steps = [];
        for (var step = 1L; step <= plan.Steps; step++)
        {
            var result = trainer.Step(step);
            steps.Add(new ReferenceStep(result, StateDigest.Of(model), trainer.Evaluate(2)));
        }

        return steps;
    }

    private static long Bits(double value) => BitConverter.DoubleToInt64Bits(value);
}

/// <summary>One step of the reference trainer.</summary>
internal sealed record ReferenceStep(StepResult Result, IReadOnlyList<ParameterDigest> Digests, double ValidationLoss);

/// <summary>Keeps every notice.</summary>
internal sealed class NoticeList : IRunObserver
{
    private readonly ConcurrentQueue<RunNotice> _notices = new();

    internal Action<RunNotice>? Then { get; init; }

    internal IReadOnlyList<RunNotice> All => [.. _notices];

    internal IReadOnlyList<StepSummary> Steps => [.. _notices.OfType<RunNotice.StepCommitted>().Select(notice => notice.Step)];

    public void OnNotice(RunNotice notice)
    {
        _notices.Enqueue(notice);
        Then?.Invoke(notice);
    }
}
