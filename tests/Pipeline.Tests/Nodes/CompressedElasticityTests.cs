using Akka.Actor;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>Replicas that compress what they exchange become fewer, and more again: nothing that is owed is lost with it.</summary>
[Collection(PipelineCollection.Name)]
public sealed class CompressedElasticityTests : IDisposable
{
    private const int Steps = 32;
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-owed-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(CompressionKind.Int4, false, ReductionTopology.Sharded)]
    [InlineData(CompressionKind.TopK, true, ReductionTopology.Sharded)]
    [InlineData(CompressionKind.Int4, false, ReductionTopology.Coordinator)]
    public async Task What_compression_has_lost_is_owed_on_by_fewer_replicas_and_by_more_again(CompressionKind kind, bool sharesOptimizer, ReductionTopology topology)
    {
        var compression = new CompressionSettings { Kind = kind, Share = 0.05 };
        var plan = TinyRun.Plan(1, 6, steps: Steps) with
        {
            ReplicaCount = 3,
            IsElastic = true,
            StepsAhead = 2,
            Protection = new ProtectionDuties(ProtectionKind.Memory, 2, ""),
            SharesOptimizer = sharesOptimizer,
            Reduction = new ReductionSettings { BucketLength = 4000, Topology = topology, Contributions = compression, Answers = compression },
        };
        using var cluster = new SimulatedCluster(1, plan, topology == ReductionTopology.Coordinator ? 4 : 3);
        var (reached, _) = await NodeElasticityTests.PauseUntilSafeAsync(cluster, ProtectionKind.Memory);
        var (killed, joined) = (0, 0);
        cluster.Network.Seen = (from, _, message) =>
        {
            if (from == "b" && message is TensorFrame frame && frame.Key.Step.Step == reached + 1 && Interlocked.Exchange(ref killed, 1) == 0) cluster.Kill("b");
            if (message is StageProtocol.StepCompleted completed && completed.Step >= reached + 4 && Interlocked.Exchange(ref joined, 1) == 0) cluster.Coordinator.Tell(new NodeJoined(cluster.StartNode("x")));
        };
        cluster.Coordinator.Tell(new ResumeRun());
        Assert.Equal(new RunOutcome(RunEnd.Completed, plan.Steps), await cluster.UntilAsync(cluster.Ended));
        var changes = cluster.Notices.All.OfType<RunNotice.ReplicasChanged>().ToArray();
        Assert.Equal([(3, 2), (2, 3)], changes.Select(change => (change.From, change.To)));
        // As if the run had ended at each of these steps and been resumed with so many replicas; steps that were committed before the loss keep their lines, whether or not a state of all was left that is older.
        var store = new FolderCheckpointStore(Path.Combine(_folder, "resumed"));
        var expected = await SegmentsAsync(plan with { Checkpoints = new CheckpointPlan(store, RunTests.Describe) }, [(3, changes[0].Step), (2, changes[1].Step), (3, plan.Steps)]);
        Assert.Equal(expected.Where(step => step.Step > reached).Select(TinyRun.LossBitsOf), cluster.Notices.Steps.Where(step => step.Step > reached).Select(TinyRun.LossBitsOf));
    }

    private static async Task<IReadOnlyList<StepSummary>> SegmentsAsync(TrainingPlan plan, IReadOnlyList<(int Replicas, long Through)> segments)
    {
        NoticeList notices = new();
        var from = 0L;
        foreach (var (replicas, through) in segments)
        {
            var segment = plan with { ReplicaCount = replicas, ResumeFromStep = from, Steps = through, IsElastic = false, Protection = ProtectionDuties.None };
            Assert.Equal(new RunOutcome(RunEnd.Completed, through), await PipelineRun.TrainAsync(segment, notices));
            from = through;
        }

        return notices.Steps;
    }
}
