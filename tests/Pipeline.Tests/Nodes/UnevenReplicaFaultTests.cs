using Akka.Actor;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction;
using Pipeline.Reduction.Topologies;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>Replicas with stages of their own on nodes that are lost: what is left goes on, and no bit depends on it.</summary>
[Collection(PipelineCollection.Name)]
public sealed class UnevenReplicaFaultTests : IDisposable
{
    private const int Steps = 10;
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-uneven-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(new[] { 2, 1 }, 3, "b", ReductionTopology.Sharded, false)]
    [InlineData(new[] { 2, 1 }, 4, "c", ReductionTopology.Sharded, true)]
    [InlineData(new[] { 1, 2 }, 4, "d", ReductionTopology.Hierarchical, false)]
    [InlineData(new[] { 2, 1 }, 5, "e", ReductionTopology.Coordinator, false)]
    [InlineData(new[] { 3, 2 }, 5, "c", ReductionTopology.Sharded, true)]
    [InlineData(new[] { 1, 2, 3 }, 6, "f", ReductionTopology.Sharded, false)]
    public async Task A_lost_rank_of_any_replica_is_replaced_and_the_run_has_the_bits_of_one_that_lost_nobody(int[] stages, int nodeCount, string victim, ReductionTopology topology, bool shares)
    {
        var plan = Plan(stages) with { SharesOptimizer = shares, SharesGradients = shares, IsElastic = false };
        plan = plan with { Reduction = plan.Reduction with { Topology = topology } };
        using var cluster = new SimulatedCluster(1, plan, nodeCount);
        cluster.KillAt(victim, step: 5);
        cluster.StartCoordinator("a");
        await InvariantClusterRun.AssertCompletedAsync(cluster, plan);
        Assert.NotEmpty(cluster.Notices.All.OfType<RunNotice.Recovered>());
        // Where they are not elastic they keep their number, also where nobody is to spare.
        Assert.Empty(cluster.Notices.All.OfType<RunNotice.ReplicasChanged>());
    }

    [Theory]
    [InlineData(new[] { 2, 1 }, 0, ReductionTopology.Sharded, true)]
    [InlineData(new[] { 2, 1 }, 1, ReductionTopology.Sharded, false)]
    [InlineData(new[] { 1, 2, 3 }, 3, ReductionTopology.Sharded, true)]
    [InlineData(new[] { 1, 2, 3 }, 0, ReductionTopology.Hierarchical, false)]
    [InlineData(new[] { 2, 1, 1 }, 1, ReductionTopology.Coordinator, true)]
    public async Task A_replica_that_loses_a_rank_which_finds_no_room_is_given_up_whole_and_comes_back_as_it_was(int[] stages, int lostRank, ReductionTopology topology, bool shares)
    {
        var plan = Plan(stages, steps: 32) with { SharesOptimizer = shares };
        plan = plan with { Reduction = plan.Reduction with { Topology = topology } };
        using var cluster = new SimulatedCluster(1, plan, stages.Sum() + (topology == ReductionTopology.Coordinator ? stages[0] : 0));
        var (victim, killed, joined) = ("", 0, 0);
        cluster.Network.Seen = (from, to, message) =>
        {
            // None of these ranks lies on the leader's own node, which is given the last one.
            if (message is NodeProtocol.HostStage { Assignment.Rank: var rank } && rank == lostRank && killed == 0) victim = to;
            if (from == victim && message is TensorFrame frame && frame.Key.Step.Step == 5 && Interlocked.Exchange(ref killed, 1) == 0) cluster.Kill(victim);
        };
        cluster.StartCoordinator("a", observer: new NoticeList
        {
            Then = notice =>
            {
                cluster.Notices.OnNotice(notice);
                if (notice is RunNotice.StepCommitted { Step.Step: >= 9 } && Interlocked.Exchange(ref joined, 1) == 0) cluster.Coordinator.Tell(new NodeJoined(cluster.StartNode("x")));
            },
        });
        Assert.Equal(new RunOutcome(RunEnd.Completed, plan.Steps), await cluster.UntilAsync(cluster.Ended));
        InvariantClusterRun.AssertIsThatOfTheReference(cluster, plan);
        var count = stages.Length;
        Assert.Equal([(count, count - 1), (count - 1, count)], cluster.Notices.All.OfType<RunNotice.ReplicasChanged>().Select(change => (change.From, change.To)));
        // At the end every micro-batch is computed by one replica, and each replica has as many ranks as at the beginning, in whatever order.
        var last = cluster.Work.Keys.Where(work => work.Step == plan.Steps).Select(work => (work.Rank, work.MicroBatch)).Distinct().ToArray();
        Assert.Equal(Enumerable.Range(0, plan.Batches.MicroBatchCount), last.Select(work => work.MicroBatch).Distinct().Order());
        Assert.Equal(stages.Sum(), last.Select(work => work.Rank).Distinct().Count());
    }

    [Fact]
    public async Task A_coordinator_that_dies_with_a_rank_leaves_the_stages_of_each_replica_to_its_successor()
    {
        var plan = Plan([1, 2]) with { SharesOptimizer = true };
        using var cluster = new SimulatedCluster(1, plan, 4);
        TaskCompletionSource<RunOutcome> lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var isKilled = 0;
        cluster.Network.Seen = (from, _, message) =>
        {
            if (from != "b" || message is not TensorFrame frame || frame.Key.Step.Step != 5 || Interlocked.Exchange(ref isKilled, 1) == 1) return;
            cluster.Kill("b", isHeard: false);
            cluster.Kill("a", isHeard: false);
            lost.TrySetResult(new RunOutcome(RunEnd.Failed, 0, "the coordinator was killed"));
        };
        var journal = new JournalInMemory();
        cluster.StartCoordinator("a", run => run with { Journal = journal });
        _ = await cluster.UntilAsync(lost.Task);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await NodeFaultTests.TakeOverAsync(cluster, journal, plan.Checkpoints!.Store, ["b", "a"]));
        InvariantClusterRun.AssertIsThatOfTheReference(cluster, plan);
    }

    [Fact]
    public async Task Losses_at_any_moment_leave_the_bits_as_they_are() => await NodeFaultTests.ForSeedsAsync(6, async seed =>
    {
        var chance = new Random(seed);
        int[] stages = [.. Enumerable.Range(0, chance.Next(2, 4)).Select(_ => chance.Next(1, 4))];
        var plan = Plan(stages, chance.Next(1, 4), $"{seed}") with { SharesOptimizer = chance.Next(2) == 0 };
        using var cluster = new SimulatedCluster(seed, plan, stages.Sum());
        var victim = cluster.NodeNames.Where(node => node != "a").OrderBy(_ => chance.Next()).First();
        string[] kinds = ["", "TensorFrame", "StepTotals", "StepCompleted", "CopyChunk", "StageReady", "HostStage", "GrantSteps"];
        var (kind, at, seen) = (kinds[chance.Next(kinds.Length)], chance.Next(1, 12), 0);
        cluster.Network.Seen = (from, to, message) =>
        {
            if ((from == victim || to == victim) && (kind.Length == 0 || message.GetType().Name == kind) && Interlocked.Increment(ref seen) == at) cluster.Kill(victim);
        };
        cluster.StartCoordinator("a");
        await InvariantClusterRun.AssertCompletedAsync(cluster, plan);
    });

    [Fact]
    public async Task A_large_replica_goes_to_the_node_that_can_hold_it_and_small_stages_to_the_others()
    {
        var plan = Plan([2, 1]);
        using var cluster = new SimulatedCluster(1, plan, 4, memory: [1, 60, 200, 60]);
        cluster.StartCoordinator("a", run => run with { RankBytes = [50, 50, 100] });
        await InvariantClusterRun.AssertCompletedAsync(cluster, plan);
        Assert.Equal(["b", "d", "c"], Assert.Single(cluster.Notices.All.OfType<RunNotice.Placed>()).Nodes.Select(node => node.Id.Address));
    }

    private TrainingPlan Plan(int[] stages, int every = 2, string name = "run", int steps = Steps) =>
        InvariantClusterRun.Plan(stages[0], stages.Length, stages.Length * 2, steps, _folder, name, ProtectionKind.Memory, every) with
        {
            StagesPerReplica = stages,
            Reduction = new ReductionSettings { BucketLength = 4000 },
        };
}
