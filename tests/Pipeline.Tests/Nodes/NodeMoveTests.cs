using System.Collections.Immutable;
using Akka.Actor;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Nodes;

[Collection(PipelineCollection.Name)]
public sealed class NodeMoveTests : IDisposable
{
    private const int Steps = 10;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-moves-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(ProtectionKind.Memory)]
    [InlineData(ProtectionKind.Disk)]
    [InlineData(ProtectionKind.None)]
    public async Task A_drained_node_hosts_nothing_and_the_run_goes_on(ProtectionKind kind)
    {
        using var cluster = new SimulatedCluster(1, Plan(kind), 5);
        var drained = cluster.AtStep(3, () => cluster.Coordinator.Ask<NodeDrained>(new DrainNode(cluster.Node("c").Id), Patience));
        cluster.StartCoordinator("a");
        await AssertCompletedAsync(cluster);
        Assert.Null((await await drained).Refusal);
        Assert.Equal([(1, new NodeId("e", 1))], Assert.Single(cluster.Notices.All.OfType<RunNotice.Recovering>(), notice => notice.Reason != "nothing has moved").Ranks.Where(place => place.Rank == 1));
        // With copies nobody computes a step twice; from a checkpoint of the same step neither.
        Assert.All(cluster.Work, work => Assert.Equal(1, work.Value));
    }

    [Theory]
    [InlineData(ProtectionKind.Memory, 0)]
    [InlineData(ProtectionKind.Memory, 1e-3)]
    [InlineData(ProtectionKind.Disk, 1e-3)]
    public async Task A_rank_is_moved_at_the_step_under_way_however_rarely_copies_are_taken_and_begins_there_again_where_it_is_lost_later(ProtectionKind kind, double clip)
    {
        // Whether a step was clipped decides how the next one's messages are named: who begins from a copy of it has to know that.
        const int Last = 24;
        var optimizer = TinyRun.Optimizer with { Clip = clip };
        var plan = Plan(kind) with { Steps = Last, Optimizer = optimizer, Protection = new ProtectionDuties(kind, 20, Path.Combine(_folder, "copies")) };
        using var cluster = new SimulatedCluster(1, plan, 5);
        TaskCompletionSource<Task<NodeDrained>> asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var (isAsked, isKilled) = (0, 0);
        cluster.Network.Seen = (from, _, message) =>
        {
            if (message is StageProtocol.StepCompleted { Step: 3 } && Interlocked.Exchange(ref isAsked, 1) == 0) asked.SetResult(cluster.Coordinator.Ask<NodeDrained>(new DrainNode(cluster.Node("c").Id), Patience));
            if (from == "e" && message is StageProtocol.StepCompleted { Step: 10 } && Interlocked.Exchange(ref isKilled, 1) == 0) cluster.Kill("e");
        };
        cluster.StartCoordinator("a");
        Assert.Equal(new RunOutcome(RunEnd.Completed, Last), await cluster.UntilAsync(cluster.Ended));
        Assert.Null((await await asked.Task).Refusal);
        TinyRun.AssertEqual(TinyRun.Train(TinyRun.Plan(1, 2, steps: Last) with { Optimizer = optimizer }), cluster.Notices.Steps, allowsMissingDigests: true);
        var first = cluster.Work.Keys.Where(work => work.Node == "e").Min(work => work.Step);
        Assert.InRange(first, 4, 9);
        Assert.Equal(first - 1, cluster.Work.Keys.Where(work => work.Node == "c").Max(work => work.Step));
        Assert.Equal(first, cluster.Work.Keys.Where(work => work.Node == "a").Min(work => work.Step));
        Assert.All(cluster.Work, work => Assert.Equal(1, work.Value));
    }

    [Fact]
    public async Task A_move_whose_copies_never_arrive_is_refused_and_the_run_goes_on()
    {
        var plan = Plan(ProtectionKind.Memory) with { Steps = 24, Protection = new ProtectionDuties(ProtectionKind.Memory, 20, "") };
        using var cluster = new SimulatedCluster(1, plan, 5);
        // Rank 2 is heard by all but by the spare that holds its copies.
        cluster.Network.Cut(["d"], ["e"]);
        var drained = cluster.AtStep(3, () => cluster.Coordinator.Ask<NodeDrained>(new DrainNode(cluster.Node("c").Id), TimeSpan.FromMinutes(20)));
        cluster.StartCoordinator("a", run => run with { Recovery = run.Recovery with { RepeatLimit = 3 } });
        Assert.Equal(new RunOutcome(RunEnd.Completed, 24), await cluster.UntilAsync(cluster.Ended));
        Assert.Contains("did not arrive where it is kept", (await await drained).Refusal, StringComparison.Ordinal);
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, 24), cluster.Notices.Steps);
        Assert.All(cluster.Work, work => Assert.Equal(1, work.Value));
    }

    [Fact]
    public async Task Copies_for_a_move_that_nobody_was_left_to_hold_are_taken_once_a_node_joins_that_can_hold_them()
    {
        // Without checkpoints only copies can bring the state to where it is to be.
        var plan = Plan(ProtectionKind.Memory) with { Steps = 24, Checkpoints = null, Protection = new ProtectionDuties(ProtectionKind.Memory, 20, "") };
        using var cluster = new SimulatedCluster(1, plan, 2);
        IReadOnlyList<int> wanted = [1, 4, 3];
        var schedule = ScheduleText.Format(RunLayout.For(plan with { UnitCounts = wanted }).Schedule);
        TaskCompletionSource<Task<Rebalanced>> asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var (isAsked, isLost) = (0, 0);
        cluster.Network.Seen = (_, to, message) =>
        {
            if (message is StageProtocol.StepCompleted { Step: 3 } && Interlocked.Exchange(ref isAsked, 1) == 0) asked.SetResult(cluster.Coordinator.Ask<Rebalanced>(Rebalance.Instance, TimeSpan.FromMinutes(20)));
            // Copies were ordered when both nodes held those of each other; before any can arrive one node is alone. What a node says to itself is not seen.
            if (message is StageProtocol.GrantSteps { CopyStep: > 0 } && to == "b" && Interlocked.Exchange(ref isLost, 1) == 0) cluster.Kill("b");
        };
        cluster.StartCoordinator("a", run => run with { Repartition = (_, _, _) => new UnitDivision(wanted, schedule) });
        await cluster.UntilAsync(() => cluster.Notices.All.OfType<RunNotice.Recovering>().Any() || cluster.Ended.IsCompleted);
        // For longer than an order takes to be carried out, or to be found without a place.
        TaskCompletionSource isLater = new();
        cluster.After(TimeSpan.FromSeconds(20), () => isLater.TrySetResult());
        await cluster.UntilAsync(() => isLater.Task.IsCompleted);
        var early = await asked.Task;
        Assert.False(early.IsCompleted, $"{(early.IsCompleted ? await early : null)}; {string.Join(" | ", cluster.Notices.All)}");
        cluster.Coordinator.Tell(new NodeJoined(cluster.StartNode("c")));
        Assert.Null((await cluster.UntilAsync(await asked.Task)).Refusal);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 24), await cluster.UntilAsync(cluster.Ended));
        Assert.Equal(wanted, Assert.Single(cluster.Notices.All.OfType<RunNotice.UnitsMoved>()).UnitCounts);
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, 24), cluster.Notices.Steps, allowsMissingDigests: true);
    }

    [Theory]
    [InlineData(ProtectionKind.Memory)]
    [InlineData(ProtectionKind.Disk)]
    [InlineData(ProtectionKind.None)]
    public async Task Units_change_hands_at_a_steps_end_and_the_bits_stay(ProtectionKind kind)
    {
        var plan = Plan(kind);
        using var cluster = new SimulatedCluster(1, plan, 4);
        IReadOnlyList<int> wanted = [1, 4, 3];
        var schedule = ScheduleText.Format(RunLayout.For(plan with { UnitCounts = wanted }).Schedule);
        var moved = cluster.AtStep(3, () => cluster.Coordinator.Ask<Rebalanced>(Rebalance.Instance, Patience));
        cluster.StartCoordinator("a", run => run with { Repartition = (_, _, _) => new UnitDivision(wanted, schedule) });
        await AssertCompletedAsync(cluster);
        var answer = await await moved;
        Assert.Null(answer.Refusal);
        Assert.Equal(wanted, answer.UnitCounts);
        Assert.Equal(answer.Step, Assert.Single(cluster.Notices.All.OfType<RunNotice.UnitsMoved>()).Step);
        Assert.All(cluster.Work, work => Assert.Equal(1, work.Value));
    }

    [Fact]
    public async Task Ranks_lie_where_a_plan_that_knows_the_nodes_has_them_and_one_whose_node_is_lost_goes_elsewhere()
    {
        var plan = Plan(ProtectionKind.Memory);
        // As the units were measured on each node: c is quick with the first ones, e with the last, a with those between them.
        var choice = Choice(plan, [8, 8, 1, 1, 1, 8, 8, 8], [1, 1, 1, 8, 8, 8, 8, 8], [8, 8, 8, 8, 8, 1, 1, 1]);
        string[] nodes = ["a", "c", "e"];
        Assert.Equal(["c", "a", "e"], choice.NodeOfRank.Select(node => nodes[node]));
        plan = plan with
        {
            ScheduleText = ScheduleText.Format(choice.Schedule!),
            UnitCounts = [.. choice.Partition.Select(range => range.Count)],
            PlannedNodes = [.. choice.NodeOfRank.Select(node => nodes[node])],
        };
        using var cluster = new SimulatedCluster(1, plan, 5);
        var killed = cluster.AtStep(5, () => Task.FromResult(true), () => cluster.Kill("e"));
        // The coordinator's own node is among them, which it would spare by itself.
        cluster.StartCoordinator("a");
        await AssertCompletedAsync(cluster);
        Assert.True(await await killed);
        Assert.All(cluster.Notices.All.OfType<RunNotice.Placed>().Take(1), placed => Assert.Equal(["c", "a", "e"], placed.Nodes.Select(node => node.Id.Address)));
        Assert.Equal(["a", "c"], cluster.Work.Keys.Where(work => work.Rank < 2).Select(work => work.Node).Distinct().Order());
        Assert.Equal(2, cluster.Work.Keys.Where(work => work.Rank == 2).Select(work => work.Node).Distinct().Count());
    }

    private static PlanCandidate Choice(TrainingPlan plan, params double[][] costs)
    {
        ModelProfile[] profiles = [.. costs.Select(times => new ModelProfile
        {
            Source = "made up",
            IsMeasured = true,
            BySize = ImmutableSortedDictionary<int, ImmutableArray<UnitProfile>>.Empty.Add(1, [.. times.Select(time => new UnitProfile
            {
                Name = "unit", Forward = time, Backward = 2 * time, InputGradient = time, WeightGradient = time, Optimizer = 0,
                KeptBytes = 1, DeferredBytes = 1, OutputBytes = 1, StateBytes = 1, GradientBytes = 1,
            })]),
        })];
        return Planner.Find(new PlanRequest
        {
            Profile = profiles[0],
            SamplesPerStep = 2,
            Ranks = [.. profiles.Select(profile => new NodeCapacity(1, 1_000_000) { Profile = profile })],
            MicroBatchSizes = [1],
            VirtualStages = [1],
            Recomputes = [RecomputePolicy.None],
            Spread = 0,
            TiedStages = partition => StageTies.TiedStages(plan.Units, [.. partition.Select(range => range.Count)]),
        }).Choice!;
    }

    [Fact]
    public async Task A_run_that_may_divides_its_units_anew_by_what_its_ranks_were_measured_to_need_and_the_bits_stay()
    {
        var plan = Plan(ProtectionKind.Memory);
        using var cluster = new SimulatedCluster(1, plan, 4);
        IReadOnlyList<int> wanted = [1, 4, 3];
        var schedule = ScheduleText.Format(RunLayout.For(plan with { UnitCounts = wanted }).Schedule);
        cluster.StartCoordinator("a", run => run with
        {
            Rebalance = new RebalancePolicy(RebalanceKind.Auto, 2),
            Repartition = (_, seconds, _) => seconds.All(one => one > 0) ? new UnitDivision(wanted, schedule, 0.2) : null,
        });
        await AssertCompletedAsync(cluster);
        Assert.Equal(wanted, Assert.Single(cluster.Notices.All.OfType<RunNotice.UnitsMoved>()).UnitCounts);
        Assert.Contains("1,4,3 units", Assert.Single(cluster.Notices.All.OfType<RunNotice.Warned>()).Message, StringComparison.Ordinal);
        Assert.All(cluster.Work, work => Assert.Equal(1, work.Value));
    }

    [Theory]
    [InlineData(ProtectionKind.Memory)]
    [InlineData(ProtectionKind.None)]
    public async Task A_pause_after_a_move_was_planned_holds_up_neither_the_move_nor_the_run(ProtectionKind kind)
    {
        // The next copies of themselves are taken after step 20, which a paused run never comes to.
        const int Last = 24;
        var plan = Plan(kind) with { Steps = Last, Protection = kind == ProtectionKind.None ? ProtectionDuties.None : new ProtectionDuties(kind, 20, "") };
        using var cluster = new SimulatedCluster(1, plan, 5);
        var drained = cluster.AtStep(3, () =>
        {
            var answer = cluster.Coordinator.Ask<NodeDrained>(new DrainNode(cluster.Node("c").Id), Patience);
            cluster.Coordinator.Tell(new PauseRun());
            return answer;
        });
        cluster.StartCoordinator("a");
        Assert.Null((await cluster.UntilAsync(await cluster.UntilAsync(drained))).Refusal);
        var repeats = Repeats(cluster);
        TaskCompletionSource isLater = new();
        cluster.After(TimeSpan.FromMinutes(2), () => isLater.TrySetResult());
        await cluster.UntilAsync(() => isLater.Task.IsCompleted);
        Assert.Equal(repeats, Repeats(cluster));
        Assert.False(cluster.Ended.IsCompleted);
        cluster.Coordinator.Tell(new ResumeRun());
        Assert.Equal(new RunOutcome(RunEnd.Completed, Last), await cluster.UntilAsync(cluster.Ended));
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, Last), cluster.Notices.Steps);
    }

    [Fact]
    public async Task A_move_to_a_node_that_is_lost_before_it_can_be_made_is_refused_and_the_run_goes_on()
    {
        using var cluster = new SimulatedCluster(1, Plan(ProtectionKind.Memory) with { Steps = 24 }, 6);
        var wanted = cluster.Node("f").Id;
        TaskCompletionSource<Task<OperationResult>> asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var (isAsked, isLost) = (0, 0);
        cluster.Network.Seen = (_, _, message) =>
        {
            if (message is StageProtocol.StepCompleted { Step: 6 } && Interlocked.Exchange(ref isAsked, 1) == 0) asked.SetResult(cluster.Coordinator.Ask<OperationResult>(new MoveRank(1, wanted), Patience));
            // Ranks answer that they stand: the move waits for its copies, or for the last of these answers.
            if (message is StageProtocol.StepsHeld && isAsked == 1 && Interlocked.Exchange(ref isLost, 1) == 0) cluster.Kill("f");
        };
        cluster.StartCoordinator("a");
        var answer = await cluster.UntilAsync(await cluster.UntilAsync(asked.Task));
        Assert.Equal((false, true), (answer.IsDone, answer.Sentence.Contains("was lost before that could be done", StringComparison.Ordinal)));
        Assert.Equal(new RunOutcome(RunEnd.Completed, 24), await cluster.UntilAsync(cluster.Ended));
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, 24), cluster.Notices.Steps);
    }

    [Fact]
    public async Task A_rank_that_comes_back_to_a_node_is_an_actor_of_another_name()
    {
        using var cluster = new SimulatedCluster(1, Plan(ProtectionKind.Memory) with { Steps = 24 }, 5);
        System.Collections.Concurrent.ConcurrentQueue<(string Node, string Path)> told = new();
        TaskCompletionSource isUnderWay = new();
        cluster.Network.Seen = (_, to, message) =>
        {
            if (message is NodeProtocol.HostStage { Assignment: { Rank: 1 } assignment }) told.Enqueue((to, assignment.Layout.Ranks[1].StagePath));
            if (message is StageProtocol.StepCompleted { Step: 3 }) isUnderWay.TrySetResult();
        };
        cluster.StartCoordinator("a");
        await cluster.UntilAsync(() => isUnderWay.Task.IsCompleted);
        foreach (var node in new[] { "e", "c" })
            Assert.True((await cluster.UntilAsync(cluster.Coordinator.Ask<OperationResult>(new MoveRank(1, cluster.Node(node).Id), Patience))).IsDone);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 24), await cluster.UntilAsync(cluster.Ended));
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, 24), cluster.Notices.Steps);
        var places = told.Distinct().ToArray();
        Assert.Equal(["c", "e", "c"], places.Select(place => place.Node));
        Assert.Equal(3, places.Select(place => place.Path).Distinct().Count());
    }

    [Fact]
    public async Task A_woken_zombie_is_refused_and_told_to_end()
    {
        using var cluster = new SimulatedCluster(1, Plan(ProtectionKind.Memory), 5);
        var frozen = cluster.AtStep(3, () => Task.FromResult(true), () => cluster.Network.Freeze("c"));
        cluster.StartCoordinator("a");
        await cluster.UntilAsync(() => cluster.Notices.All.OfType<RunNotice.Recovered>().Any());
        cluster.Network.Thaw("c");
        await cluster.UntilAsync(() => !cluster.Fenced.IsEmpty || cluster.Ended.IsCompleted);
        await AssertCompletedAsync(cluster);
        Assert.True(await await frozen);
        Assert.All(cluster.Work.Where(work => work.Key.Node != "c"), work => Assert.Equal(1, work.Value));
    }

    [Fact]
    public async Task A_run_whose_nodes_are_all_gone_stops_with_what_is_missing()
    {
        using var cluster = new SimulatedCluster(1, Plan(ProtectionKind.Memory), 2);
        var killed = cluster.AtStep(3, () => Task.FromResult(true), () =>
        {
            cluster.Kill("b");
            cluster.Kill("a");
        });
        cluster.StartCoordinator("a");
        var outcome = await cluster.UntilAsync(cluster.Ended);
        Assert.Equal(RunEnd.Failed, outcome.End);
        Assert.Contains("fit on none", outcome.Error, StringComparison.Ordinal);
        Assert.True(await await killed);
    }

    [Fact]
    public async Task Moves_at_any_moment_and_lost_messages_nodes_and_leaders_leave_the_bits_as_they_are()
    {
        var moved = 0;
        await NodeFaultTests.ForSeedsAsync(6, async seed => moved += await MoveAtAnyMomentAsync(seed));
        // Many are refused; a test of which all were would say nothing.
        Assert.InRange(moved, 3, int.MaxValue);
    }

    private async Task<int> MoveAtAnyMomentAsync(int seed)
    {
        const int Last = 16;
        var chance = new Random(seed);
        var store = new FolderCheckpointStore(Path.Combine(_folder, $"{seed}"));
        var kind = chance.Next(4) switch { 0 => ProtectionKind.None, 1 => ProtectionKind.Disk, _ => ProtectionKind.Memory };
        var plan = Plan(kind) with
        {
            Steps = Last,
            Protection = kind == ProtectionKind.None ? ProtectionDuties.None : new ProtectionDuties(kind, chance.Next(2, 20), Path.Combine(_folder, $"{seed}-copies")),
            Checkpoints = new CheckpointPlan(store, RunTests.Describe) { SaveEvery = chance.Next(3, 9) },
        };
        JournalInMemory journal = new();
        using var cluster = new SimulatedCluster(seed, plan, 6);
        cluster.Network.Faults = seed % 2 == 0 ? (0.01, 0.03, 0.1) : default;
        List<string> victims = seed % 3 == 0 ? ["a"] : seed % 3 == 1 ? [chance.Next(2) == 0 ? "b" : "c"] : [];
        TaskCompletionSource<RunOutcome> lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
        NodeFaultTests.ScheduleLosses(cluster, chance, victims, lost);
        MoveRank[] moves = [.. Enumerable.Range(0, 8).Select(_ => new MoveRank(chance.Next(3), new NodeId($"{(char)('b' + chance.Next(5))}", 1)))];
        var (losses, reports, at) = (cluster.Network.Seen, 0, chance.Next(12));
        cluster.Network.Seen = (from, to, message) =>
        {
            if (message is StageProtocol.StepCompleted && Interlocked.Increment(ref reports) is var count && count % 12 == at) cluster.Coordinator.Tell(moves[count / 12 % moves.Length]);
            losses?.Invoke(from, to, message);
        };
        cluster.StartCoordinator("a", run => run with { Journal = journal });
        var outcome = await cluster.UntilAsync(await cluster.UntilAsync(Task.WhenAny(cluster.Ended, lost.Task)));
        if (lost.Task.IsCompleted) outcome = await NodeFaultTests.TakeOverAsync(cluster, journal, store, victims);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Last), outcome);
        var reference = TinyRun.Reference(2, true, Precision.Fp32, Last);
        TinyRun.AssertEqual(reference, cluster.Notices.Steps, allowsMissingDigests: true);
        TinyRun.AssertHolds(store, plan, reference[^1]);
        return cluster.Notices.All.OfType<RunNotice.Recovering>().Count(recovering => recovering.Reason.StartsWith("an operator moves", StringComparison.Ordinal));
    }

    private static int Repeats(SimulatedCluster cluster) => cluster.Notices.All.OfType<RunNotice.Recovering>().Count(recovering => recovering.Reason == "nothing has moved");

    private TrainingPlan Plan(ProtectionKind kind) => TinyRun.Plan(3, 2, steps: Steps) with
    {
        StepsAhead = 2,
        EvaluateEvery = 2,
        EvaluationMicroBatchCount = 2,
        Protection = kind == ProtectionKind.None ? ProtectionDuties.None : new ProtectionDuties(kind, 2, Path.Combine(_folder, "copies")),
        Checkpoints = new CheckpointPlan(new FolderCheckpointStore(Path.Combine(_folder, "checkpoints")), RunTests.Describe),
    };

    private static async Task AssertCompletedAsync(SimulatedCluster cluster)
    {
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await cluster.UntilAsync(cluster.Ended));
        var reference = TinyRun.Reference(2, true, Precision.Fp32, Steps);
        TinyRun.AssertEqual(reference, cluster.Notices.Steps);
        Assert.Equal([2, 4, 6, 8, 10], cluster.Notices.All.OfType<RunNotice.Evaluated>().Select(evaluated => evaluated.AfterStep));
    }
}
