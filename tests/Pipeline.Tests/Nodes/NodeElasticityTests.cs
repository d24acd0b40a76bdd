using Akka.Actor;
using Pipeline.Coordinator;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction;
using Pipeline.Reduction.Topologies;
using Pipeline.Stages;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>Replicas that become fewer while there is no room for all, and more again: under <c>invariant</c> no bit depends on it.</summary>
[Collection(PipelineCollection.Name)]
public sealed class NodeElasticityTests : IDisposable
{
    private const int Steps = 10;
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-elastic-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(1, 2, 2, "b", ProtectionKind.Memory)]
    [InlineData(2, 2, 2, "d", ProtectionKind.Memory)]
    [InlineData(2, 2, 2, "b", ProtectionKind.Disk)]
    [InlineData(1, 3, 3, "c", ProtectionKind.Memory)]
    [InlineData(1, 3, 6, "b", ProtectionKind.None)]
    public async Task A_run_without_room_for_a_lost_replica_goes_on_with_fewer_and_has_the_same_bits(int stages, int replicas, int microBatches, string victim, ProtectionKind kind)
    {
        var plan = Plan(stages, replicas, microBatches, kind);
        using var cluster = new SimulatedCluster(1, plan, stages * replicas);
        var (reached, safe) = await PauseUntilSafeAsync(cluster, kind);
        // Nothing that the victim says of this step arrives, so that nobody comes to its end, nor to a copy beyond those that are safe.
        cluster.KillAt(victim, reached + 1);
        cluster.Coordinator.Tell(new ResumeRun());
        await AssertCompletedAsync(cluster, plan);
        var changed = Assert.Single(cluster.Notices.All.OfType<RunNotice.ReplicasChanged>());
        Assert.Equal((replicas, replicas - 1, safe, false), (changed.From, changed.To, changed.Step, changed.IsOtherOrder));
        Assert.NotEmpty(cluster.Notices.All.OfType<RunNotice.Recovered>());
        // From then on nobody computes a micro-batch that another one computes, and all are computed.
        var last = cluster.Work.Keys.Where(work => work.Step == Steps).Select(work => work.MicroBatch).Distinct();
        Assert.Equal(Enumerable.Range(0, microBatches), last.Order());
        Assert.DoesNotContain(cluster.Work.Keys, work => work.Node == victim && work.Step > reached + 1);
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(1, true)]
    [InlineData(2, true)]
    public async Task A_node_that_joins_brings_a_replica_up_again_at_a_steps_end_from_the_copies_of_the_others(int stages, bool sharesOptimizer)
    {
        var plan = Plan(stages, 2, 4, ProtectionKind.Memory, steps: 16) with { SharesOptimizer = sharesOptimizer };
        using var cluster = new SimulatedCluster(1, plan, 2 * stages);
        cluster.KillAt(stages == 1 ? "b" : "d", step: 5);
        var joined = 0;
        cluster.StartCoordinator("a", observer: new NoticeList
        {
            Then = notice =>
            {
                cluster.Notices.OnNotice(notice);
                if (notice is RunNotice.StepCommitted { Step.Step: >= 8 } && Interlocked.Exchange(ref joined, 1) == 0) cluster.Coordinator.Tell(new NodeJoined(cluster.StartNode("x")));
            },
        });
        await AssertCompletedAsync(cluster, plan);
        var changes = cluster.Notices.All.OfType<RunNotice.ReplicasChanged>().ToArray();
        Assert.Equal([(2, 1), (1, 2)], changes.Select(change => (change.From, change.To)));
        // What grows loses nothing: no step after the change was computed before it.
        var grown = changes[1].Step;
        Assert.InRange(grown, 8, 15);
        Assert.Contains(cluster.Work.Keys, work => work.Node == "x" && work.Step > grown);
        Assert.All(cluster.Work.Where(work => work.Key.Step > grown), work => Assert.Equal(1, work.Value));
    }

    [Theory]
    [InlineData(ReductionTopology.Coordinator, 6, false)]
    [InlineData(ReductionTopology.Coordinator, 6, true)]
    [InlineData(ReductionTopology.Hierarchical, 4, false)]
    [InlineData(ReductionTopology.Hierarchical, 4, true)]
    public async Task Any_topology_of_the_reduction_follows_the_replicas(ReductionTopology topology, int nodeCount, bool sharesOptimizer)
    {
        // Two replicas of two ranks, with reducers two more; rank by rank a node of its own.
        var plan = Plan(2, 2, 4, ProtectionKind.Memory, steps: 16) with { SharesOptimizer = sharesOptimizer, Reduction = new ReductionSettings { Topology = topology, GroupsByMachine = true, BucketLength = 4000 } };
        using var cluster = new SimulatedCluster(1, plan, nodeCount);
        cluster.KillAt("c", step: 5);
        var joined = 0;
        cluster.StartCoordinator("a", observer: new NoticeList
        {
            Then = notice =>
            {
                cluster.Notices.OnNotice(notice);
                if (notice is RunNotice.StepCommitted { Step.Step: >= 8 } && Interlocked.Exchange(ref joined, 1) == 0) cluster.Coordinator.Tell(new NodeJoined(cluster.StartNode("x")));
            },
        });
        await AssertCompletedAsync(cluster, plan);
        Assert.Equal([(2, 1), (1, 2)], cluster.Notices.All.OfType<RunNotice.ReplicasChanged>().Select(change => (change.From, change.To)));
        Assert.Equal(topology == ReductionTopology.Hierarchical, cluster.Notices.All.OfType<RunNotice.Grouped>().Any());
    }

    [Theory]
    [InlineData(false, false, ReductionTopology.Sharded)]
    [InlineData(true, true, ReductionTopology.Sharded)]
    [InlineData(false, false, ReductionTopology.Coordinator)]
    public async Task Nodes_that_join_bring_replicas_beyond_those_that_the_run_began_with(bool sharesOptimizer, bool sharesGradients, ReductionTopology topology)
    {
        // Two replicas of two micro-batches and more: three have two each, four two or one.
        var plan = Plan(1, 2, 6, ProtectionKind.Memory, steps: 32) with { MostReplicas = 4, SharesOptimizer = sharesOptimizer, SharesGradients = sharesGradients, Reduction = new ReductionSettings { BucketLength = 4000, Topology = topology } };
        using var cluster = new SimulatedCluster(1, plan, topology == ReductionTopology.Coordinator ? 3 : 2);
        var joined = 0;
        cluster.StartCoordinator("a", observer: new NoticeList
        {
            Then = notice =>
            {
                cluster.Notices.OnNotice(notice);
                // The last one is one more than there are to be.
                if (notice is RunNotice.StepCommitted { Step.Step: 3 } or RunNotice.ReplicasChanged) cluster.Coordinator.Tell(new NodeJoined(cluster.StartNode($"x{Interlocked.Increment(ref joined)}")));
            },
        });
        await AssertCompletedAsync(cluster, plan);
        var changes = cluster.Notices.All.OfType<RunNotice.ReplicasChanged>().ToArray();
        Assert.Equal([(2, 3), (3, 4)], changes.Select(change => (change.From, change.To)));
        // No step is computed twice, and at the end every micro-batch is computed by one of four.
        Assert.All(cluster.Work, work => Assert.Equal(1, work.Value));
        var last = cluster.Work.Keys.Where(work => work.Step == plan.Steps).ToArray();
        Assert.Equal((4, 6), (last.Select(work => work.Rank).Distinct().Count(), last.Select(work => work.MicroBatch).Distinct().Count()));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_run_of_one_replica_becomes_one_of_several_as_nodes_join_and_has_the_same_bits(int stages)
    {
        var plan = Plan(stages, 1, 4, ProtectionKind.Memory, steps: 32) with { MostReplicas = 3 };
        using var cluster = new SimulatedCluster(1, plan, stages);
        var joined = 0;
        cluster.StartCoordinator("a", observer: new NoticeList
        {
            Then = notice =>
            {
                cluster.Notices.OnNotice(notice);
                if (notice is not (RunNotice.StepCommitted { Step.Step: 3 } or RunNotice.ReplicasChanged { To: 2 })) return;
                for (var stage = 0; stage < stages; stage++) cluster.Coordinator.Tell(new NodeJoined(cluster.StartNode($"x{Interlocked.Increment(ref joined)}")));
            },
        });
        await AssertCompletedAsync(cluster, plan);
        var changes = cluster.Notices.All.OfType<RunNotice.ReplicasChanged>().ToArray();
        Assert.Equal([(1, 2), (2, 3)], changes.Select(change => (change.From, change.To)));
        Assert.All(cluster.Work, work => Assert.Equal(1, work.Value));
        var last = cluster.Work.Keys.Where(work => work.Step == plan.Steps).ToArray();
        Assert.Equal((3 * stages, 4), (last.Select(work => work.Rank).Distinct().Count(), last.Select(work => work.MicroBatch).Distinct().Count()));
    }

    [Fact]
    public async Task Fewer_replicas_that_would_not_fit_are_not_tried_and_the_lost_rank_goes_where_it_fits()
    {
        var plan = Plan(1, 2, 2, ProtectionKind.Memory);
        // One replica alone would need more than any node has; both as they are find room on one.
        using var cluster = new SimulatedCluster(1, plan, 2, memory: [200, 100]);
        cluster.KillAt("b", step: 5);
        cluster.StartCoordinator("a", run => run with { RankBytes = [60, 60], Elastic = Sized(run, replicas => replicas == 1 ? [250] : [60, 60]) });
        await AssertCompletedAsync(cluster, plan);
        Assert.Empty(cluster.Notices.All.OfType<RunNotice.ReplicasChanged>());
    }

    [Fact]
    public async Task Ranks_of_fewer_replicas_that_have_grown_too_large_for_where_they_are_go_where_they_fit()
    {
        var plan = Plan(2, 2, 2, ProtectionKind.Memory);
        using var cluster = new SimulatedCluster(1, plan, 5, memory: [1, 100, 100, 300, 100]);
        cluster.KillAt("e", step: 5);
        cluster.StartCoordinator("a", run => run with { RankBytes = [60, 60, 60, 60], Elastic = Sized(run, replicas => replicas == 1 ? [150, 50] : [60, 60, 60, 60]) });
        await AssertCompletedAsync(cluster, plan);
        Assert.Equal(["b", "c", "d", "e"], Assert.Single(cluster.Notices.All.OfType<RunNotice.Placed>()).Nodes.Select(node => node.Id.Address));
        Assert.Equal(1, Assert.Single(cluster.Notices.All.OfType<RunNotice.ReplicasChanged>()).To);
        Assert.Equal(["d"], cluster.Work.Keys.Where(work => work.Step == Steps && work.Rank == 0).Select(work => work.Node).Distinct());
    }

    [Fact]
    public async Task A_spare_takes_a_lost_replica_and_nothing_becomes_fewer()
    {
        var plan = Plan(1, 2, 2, ProtectionKind.Memory);
        using var cluster = new SimulatedCluster(1, plan, 3);
        cluster.KillAt("b", step: 5);
        cluster.StartCoordinator("a");
        await AssertCompletedAsync(cluster, plan);
        Assert.Empty(cluster.Notices.All.OfType<RunNotice.ReplicasChanged>());
        Assert.All(cluster.Work.Where(work => work.Key.Node != "b"), work => Assert.Equal(1, work.Value));
    }

    [Fact]
    public async Task A_run_that_may_not_become_fewer_puts_lost_ranks_on_the_nodes_that_are_left()
    {
        var plan = Plan(1, 2, 2, ProtectionKind.Memory) with { IsElastic = false };
        using var cluster = new SimulatedCluster(1, plan, 2);
        cluster.KillAt("b", step: 5);
        cluster.StartCoordinator("a");
        await AssertCompletedAsync(cluster, plan);
        Assert.Empty(cluster.Notices.All.OfType<RunNotice.ReplicasChanged>());
    }

    [Fact]
    public async Task A_drained_node_without_another_in_its_place_leaves_a_replica_less_and_no_step_is_computed_again()
    {
        var plan = Plan(1, 2, 2, ProtectionKind.Memory);
        using var cluster = new SimulatedCluster(1, plan, 2);
        var drained = cluster.AtStep(3, () => cluster.Coordinator.Ask<NodeDrained>(new DrainNode(cluster.Node("b").Id), TimeSpan.FromMinutes(5)));
        cluster.StartCoordinator("a");
        await AssertCompletedAsync(cluster, plan);
        Assert.Null((await await drained).Refusal);
        Assert.Equal((2, 1), cluster.Notices.All.OfType<RunNotice.ReplicasChanged>().Select(change => (change.From, change.To)).Single());
        Assert.All(cluster.Work, work => Assert.Equal(1, work.Value));
    }

    [Fact]
    public async Task With_fast_the_other_order_of_addition_is_said_and_the_run_goes_on_as_one_of_so_many_replicas_from_that_state_would()
    {
        var plan = Plan(1, 2, 4, ProtectionKind.Memory) with { Summation = Summation.Fast };
        using var cluster = new SimulatedCluster(1, plan, 2);
        cluster.KillAt("b", step: 5);
        cluster.StartCoordinator("a");
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await cluster.UntilAsync(cluster.Ended));
        var changed = Assert.Single(cluster.Notices.All.OfType<RunNotice.ReplicasChanged>());
        Assert.True(changed.IsOtherOrder);
        using var model = new StageModel(plan.Units, 0, plan.Units.Count, new StageOptions(plan.Precision, TorchSharp.torch.CPU, plan.Seed));
        ReferenceTrainer TrainerOf(int replicas) => new(model, plan.Batches, plan.Optimizer, Summation.Fast, replicas);
        var (before, after) = (TrainerOf(2), TrainerOf(1));
        long[] expected = [.. Enumerable.Range(1, Steps).Select(step => BitConverter.DoubleToInt64Bits((step <= changed.Step ? before : after).Step(step).Loss))];
        var actual = cluster.Notices.Steps.Select(step => BitConverter.DoubleToInt64Bits(step.Loss)).ToArray();
        Assert.Equal(Steps, actual.Length);
        // A step that was committed before the loss keeps the line that it had.
        var recommitted = TinyRun.Train(TinyRun.Plan(1, 4, steps: Steps) with { ReplicaCount = 2 }).Select(step => BitConverter.DoubleToInt64Bits(step.Result.Loss)).ToArray();
        Assert.All(actual.Index(), step => Assert.True(step.Item == expected[step.Index] || (step.Index >= changed.Step && step.Index <= 5 && step.Item == recommitted[step.Index]), $"step {step.Index + 1}"));
        TinyRun.AssertHolds(plan.Checkpoints!.Store, plan, new ReferenceStep(new StepResult(Steps, 0, 0, 0, 0), StateDigest.Of(model), 0));
    }

    [Fact]
    public async Task Elastic_replicas_live_with_losses_at_any_moment_and_a_node_that_joins() => await NodeFaultTests.ForSeedsAsync(6, LoseAndJoinAsync);

    [Fact]
    public async Task A_leader_that_dies_with_a_replica_leaves_one_less_to_its_successor_or_to_itself() => await NodeFaultTests.ForSeedsAsync(6, async seed =>
    {
        var chance = new Random(seed);
        var (stages, replicas) = (chance.Next(1, 3), chance.Next(2, 4));
        var plan = Plan(stages, replicas, replicas * 2, ProtectionKind.Memory, steps: 16, every: chance.Next(1, 4), name: $"leader-{seed}") with { SharesOptimizer = chance.Next(2) == 0 };
        using var cluster = new SimulatedCluster(seed, plan, stages * replicas);
        TaskCompletionSource<RunOutcome> lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
        string[] victims = stages * replicas > 2 && seed % 2 == 0 ? ["b", "a"] : ["a"];
        var (isDead, at) = (new int[2], new[] { chance.Next(10, 150), chance.Next(60, 250) });
        var granted = 0L;
        cluster.Network.Seen = (_, _, message) =>
        {
            // What had been granted by whoever died is granted still.
            if (message is StageProtocol.GrantSteps grant && !lost.Task.IsCompleted) InterlockedMax(ref granted, grant.ThroughStep);
            if (message is not TensorFrame) return;
            if (victims.Length > 1 && Interlocked.Increment(ref isDead[0]) == at[0]) cluster.Kill("b");
            if (Interlocked.Increment(ref isDead[1]) != at[1]) return;
            cluster.Kill("a", isHeard: false);
            lost.TrySetResult(new RunOutcome(RunEnd.Failed, 0, "the coordinator was killed"));
        };
        var journal = new JournalInMemory();
        cluster.StartCoordinator("a", run => run with { Journal = journal });
        var outcome = await cluster.UntilAsync(await cluster.UntilAsync(Task.WhenAny(cluster.Ended, lost.Task)));
        if (lost.Task.IsCompleted) outcome = await NodeFaultTests.TakeOverAsync(cluster, journal, plan.Checkpoints!.Store, victims);
        Assert.Equal(new RunOutcome(RunEnd.Completed, plan.Steps), outcome);
        var reference = TinyRun.Train(TinyRun.Plan(1, plan.Batches.MicroBatchCount, steps: plan.Steps) with { Summation = Summation.Invariant });
        TinyRun.AssertEqual(reference, cluster.Notices.Steps, allowsMissingDigests: true);
        TinyRun.AssertHolds(plan.Checkpoints!.Store, plan, reference[^1]);
        // Where a newer copy of the lost rank is left than a state of all, it runs again beside the others, and replicas become fewer at the end of the next step that nobody is past: copies
        // of it are asked for. Until then a window more may be granted than the dead leader had granted: near the run's end there is no such step any more.
        if (lost.Task.IsCompleted && granted + plan.StepsAhead < plan.Steps) Assert.NotEmpty(cluster.Notices.All.OfType<RunNotice.ReplicasChanged>());
    });

    private static void InterlockedMax(ref long most, long value)
    {
        for (var seen = Volatile.Read(ref most); value > seen; seen = Volatile.Read(ref most)) Interlocked.CompareExchange(ref most, value, seen);
    }

    private async Task LoseAndJoinAsync(int seed)
    {
        var chance = new Random(seed);
        var (stages, replicas) = (chance.Next(1, 3), chance.Next(2, 4));
        var plan = Plan(stages, replicas, replicas * chance.Next(1, 3), chance.Next(3) == 0 ? ProtectionKind.None : ProtectionKind.Memory, steps: 8, every: chance.Next(1, 4), name: $"{seed}")
            with { SharesOptimizer = chance.Next(2) == 0, Reduction = new ReductionSettings { BucketLength = 4000 } };
        using var cluster = new SimulatedCluster(seed, plan, stages * replicas);
        var victims = cluster.NodeNames.Where(node => node != "a").OrderBy(_ => chance.Next()).Take(Math.Min(chance.Next(1, 3), stages * replicas - 2 + (stages == 1 ? 1 : 0))).ToArray();
        string[] kinds = ["", "TensorFrame", "StepTotals", "StepCompleted", "CopyChunk", "StageReady", "StageAssigned", "HostStage", "FetchCopy", "GrantSteps", "ReleaseStages"];
        var losses = victims.Select(victim => (Victim: victim, Kind: kinds[chance.Next(kinds.Length)], Count: chance.Next(1, 12))).ToArray();
        var seen = new int[losses.Length];
        var (joinAt, joined) = (chance.Next(2, 7), 0);
        cluster.Network.Seen = (from, to, message) =>
        {
            for (var index = 0; index < losses.Length; index++)
            {
                var (victim, kind, count) = losses[index];
                if ((from != victim && to != victim) || (kind.Length > 0 && message.GetType().Name != kind) || Interlocked.Increment(ref seen[index]) != count) continue;
                cluster.Kill(victim);
            }
        };
        cluster.StartCoordinator("a", observer: new NoticeList
        {
            Then = notice =>
            {
                cluster.Notices.OnNotice(notice);
                if (notice is RunNotice.StepCommitted committed && committed.Step.Step >= joinAt && Interlocked.Exchange(ref joined, 1) == 0) cluster.Coordinator.Tell(new NodeJoined(cluster.StartNode("x")));
            },
        });
        await AssertCompletedAsync(cluster, plan);
    }

    private static ElasticReplicas Sized(CoordinatedRun run, Func<int, IReadOnlyList<long>> rankBytes) => run.Elastic! with
    {
        Divide = (replicas, units) => run.Elastic.Divide(replicas, units) is { } division ? division with { RankBytes = rankBytes(replicas) } : null,
    };

    /// <summary>Starts the run and pauses it after some steps, until the newest state that may be kept of it is safe.</summary>
    /// <returns>The last step, and the step whose state is safe.</returns>
    internal static async Task<(long Reached, long Safe)> PauseUntilSafeAsync(SimulatedCluster cluster, ProtectionKind kind)
    {
        _ = cluster.AtStep(3, () => Task.FromResult(true), () => cluster.Coordinator.Tell(new PauseRun()));
        cluster.StartCoordinator("a");
        return await cluster.UntilAsync(SafeAsync());

        async Task<(long, long)> SafeAsync()
        {
            while (true)
            {
                var status = await cluster.Coordinator.Ask<RunStatus>(QueryStatus.Instance);
                // Copies are taken after every second step, checkpoints after every fourth.
                var safe = status.Step - status.Step % (kind == ProtectionKind.None ? 4 : 2);
                var isSafe = kind == ProtectionKind.None ? safe == 0 || cluster.Notices.All.Any(notice => notice is RunNotice.CheckpointSaved saved && saved.Step == safe) : status.ProtectedStep >= safe;
                if (status.Phase == "paused" && status.Step == status.GrantedStep && isSafe) return (status.Step, safe);
                // The simulation's clock must be able to move meanwhile.
                await Task.Delay(50);
            }
        }
    }

    private TrainingPlan Plan(int stages, int replicas, int microBatches, ProtectionKind kind, int steps = Steps, int every = 2, string name = "run") =>
        InvariantClusterRun.Plan(stages, replicas, microBatches, steps, _folder, name, kind, every);

    private static async Task AssertCompletedAsync(SimulatedCluster cluster, TrainingPlan plan)
    {
        await InvariantClusterRun.AssertCompletedAsync(cluster, plan);
        Assert.Equal(Enumerable.Range(1, (int)plan.Steps / 2).Select(index => 2L * index), cluster.Notices.All.OfType<RunNotice.Evaluated>().Select(evaluation => evaluation.AfterStep));
    }
}
