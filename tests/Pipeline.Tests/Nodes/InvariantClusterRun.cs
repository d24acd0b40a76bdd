using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>Runs with invariant sums in the simulated cluster, whose bits nothing that happens to its nodes may change: what they are, and what they are held against.</summary>
internal static class InvariantClusterRun
{
    /// <summary>An elastic run that is protected, evaluates after every second step and saves after every fourth.</summary>
    internal static TrainingPlan Plan(int stages, int replicas, int microBatches, int steps, string folder, string name, ProtectionKind kind, int every) => TinyRun.Plan(stages, microBatches, steps: steps) with
    {
        ReplicaCount = replicas,
        Summation = Summation.Invariant,
        IsElastic = true,
        StepsAhead = 2,
        EvaluateEvery = 2,
        EvaluationMicroBatchCount = 2,
        Protection = kind == ProtectionKind.None ? ProtectionDuties.None : new ProtectionDuties(kind, every, Path.Combine(folder, name + "-copies")),
        Checkpoints = new CheckpointPlan(new FolderCheckpointStore(Path.Combine(folder, name)), RunTests.Describe) { SaveEvery = 4 },
    };

    /// <summary>Waits for the end, and holds all that was said against the reference.</summary>
    internal static async Task AssertCompletedAsync(SimulatedCluster cluster, TrainingPlan plan)
    {
        Assert.Equal(new RunOutcome(RunEnd.Completed, plan.Steps), await cluster.UntilAsync(cluster.Ended));
        AssertIsThatOfTheReference(cluster, plan);
    }

    /// <summary>Each step once, each evaluation that was made and the last checkpoint have the bits of the unsplit model.</summary>
    internal static void AssertIsThatOfTheReference(SimulatedCluster cluster, TrainingPlan plan)
    {
        var reference = TinyRun.Train(TinyRun.Plan(1, plan.Batches.MicroBatchCount, steps: plan.Steps) with { Summation = Summation.Invariant });
        TinyRun.AssertEqual(reference, cluster.Notices.Steps, allowsMissingDigests: true);
        TinyRun.AssertHolds(plan.Checkpoints!.Store, plan, reference[^1]);
        foreach (var evaluation in cluster.Notices.All.OfType<RunNotice.Evaluated>())
            Assert.Equal(BitConverter.DoubleToInt64Bits(reference[(int)evaluation.AfterStep - 1].ValidationLoss), BitConverter.DoubleToInt64Bits(evaluation.Loss));
    }
}
