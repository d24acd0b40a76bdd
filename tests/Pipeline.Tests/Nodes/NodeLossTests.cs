using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Nodes;

[Collection(PipelineCollection.Name)]
public sealed class NodeLossTests
{
    [Fact]
    public async Task A_run_over_nodes_has_the_bits_of_the_unsplit_model()
    {
        var plan = TinyRun.Plan(3, 3) with { EvaluateEvery = 2, EvaluationMicroBatchCount = 2, Protection = Memory(1) };
        using var cluster = new SimulatedCluster(1, plan, 4, serializes: true);
        cluster.StartCoordinator("a");
        var outcome = await cluster.UntilAsync(cluster.Ended);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 5), outcome);
        TinyRun.AssertEqual(TinyRun.Reference(3, true, Precision.Fp32), cluster.Notices.Steps);
        // A start on a busy machine may have to be repeated ("nothing has moved"): then all say again what they said, and nobody is lost.
        Assert.All(cluster.Notices.All.OfType<RunNotice.Recovering>(), notice => Assert.Empty(notice.Ranks));
        Assert.All(cluster.Notices.All.OfType<RunNotice.Placed>(), placed => Assert.Equal(["b", "c", "d"], placed.Nodes.Select(node => node.Id.Address)));
        Assert.All(cluster.Work, work => Assert.Equal(1, work.Value));
    }

    [Fact]
    public async Task A_lost_stage_alone_replays_and_no_survivor_computes_anything_again()
    {
        var plan = TinyRun.Plan(3, 3) with { EvaluateEvery = 2, EvaluationMicroBatchCount = 2, Protection = Memory(2) };
        using var cluster = new SimulatedCluster(1, plan, 5);
        var isKilled = 0;
        cluster.Network.Seen = (from, _, message) =>
        {
            if (from == "c" && message is TensorFrame { Key.Step.Step: 4, Key.MicroBatch: 1 } && Interlocked.Exchange(ref isKilled, 1) == 0) cluster.Kill("c");
        };
        cluster.StartCoordinator("a");
        var outcome = await cluster.UntilAsync(cluster.Ended);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 5), outcome);
        TinyRun.AssertEqual(TinyRun.Reference(3, true, Precision.Fp32), cluster.Notices.Steps);
        var recovering = Assert.Single(cluster.Notices.All.OfType<RunNotice.Recovering>(), notice => notice.Reason != "nothing has moved");
        Assert.Equal([(1, new NodeId("e", 1))], recovering.Ranks);
        Assert.Single(cluster.Notices.All.OfType<RunNotice.Recovered>());
        var dump = cluster.Notices.All.OfType<RunNotice.FlightGathered>().First(notice => notice.Dump.Reason != "nothing has moved").Dump;
        Assert.Equal([0, 2], dump.Ranks.Select(rank => rank.Rank));
        Assert.Contains("rank 1 did not answer", WaitGraph.Describe(dump));
        Assert.All(cluster.Work, work => Assert.Equal(1, work.Value));
        // The replacement began after the copy of step 2, not from the beginning.
        Assert.Equal(3, cluster.Work.Keys.Where(work => work.Node == "e").Min(work => work.Step));
    }

    [Theory]
    [InlineData(ProtectionKind.Memory)]
    [InlineData(ProtectionKind.None)]
    public async Task Nodes_that_cannot_hold_the_ranks_that_are_left_go_on_with_fewer_and_the_bits_stay(ProtectionKind kind)
    {
        const int Steps = 10;
        var folder = Directory.CreateTempSubdirectory("pipeline-fewer-").FullName;
        var store = new FolderCheckpointStore(folder);
        var plan = TinyRun.Plan(3, 2, steps: Steps) with
        {
            StepsAhead = 2,
            EvaluateEvery = 2,
            EvaluationMicroBatchCount = 2,
            Protection = kind == ProtectionKind.None ? ProtectionDuties.None : Memory(1),
            Checkpoints = new CheckpointPlan(store, RunTests.Describe) { SaveEvery = 4 },
        };
        var two = RunLayout.For(plan with { StageCount = 2 });
        UnitDivision division = two.Division() with { RankBytes = [90, 90] };
        // The coordinator's node can hold nothing, the others one rank of three, or one of two.
        using var cluster = new SimulatedCluster(1, plan, 4, memory: [1, 100, 100, 100]);
        var killed = cluster.AtStep(6, () => Task.FromResult(true), () => cluster.Kill("c"));
        cluster.StartCoordinator("a", run => run with { RankBytes = [60, 60, 60], DivideOver = (ranks, _) => ranks == 2 ? [division with { RankBytes = [101, 10] }, division] : [] });
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await cluster.UntilAsync(cluster.Ended));
        Assert.True(await await killed);
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, Steps), cluster.Notices.Steps, allowsMissingDigests: true);
        Assert.Equal([2, 4, 6, 8, 10], cluster.Notices.All.OfType<RunNotice.Evaluated>().Select(evaluated => evaluated.AfterStep));
        // One decision, one generation.
        var recoveries = cluster.Notices.All.OfType<RunNotice.Recovering>().ToArray();
        Assert.Equal(Enumerable.Range(2, recoveries.Length), recoveries.Select(recovering => recovering.Generation.Number));
        Assert.Equal(two.UnitCounts, Assert.Single(cluster.Notices.All.OfType<RunNotice.UnitsMoved>()).UnitCounts);
        Assert.Equal([0, 1], cluster.Notices.Steps[^1].Ranks.Select(rank => rank.Rank));
        Assert.Equal(Steps, store.List(verify: true).First(summary => summary.State == CheckpointState.Complete).Step);
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task Ranks_that_never_hear_each_other_end_the_run_after_as_many_repeats_as_it_has_and_it_says_what_is_missing()
    {
        using var cluster = new SimulatedCluster(1, TinyRun.Plan(2, 2), 3);
        var cut = cluster.AtStep(2, () => Task.FromResult(true), () =>
        {
            cluster.Network.Cut(["b"], ["c"]);
            cluster.Network.Cut(["c"], ["b"]);
        });
        cluster.StartCoordinator("a", run => run with { Recovery = run.Recovery with { RepeatLimit = 3 } });
        var outcome = await cluster.UntilAsync(cluster.Ended);
        Assert.True(await await cut);
        Assert.Equal(RunEnd.Failed, outcome.End);
        Assert.Contains("was not completed by every rank, although everything was sent again: rank ", outcome.Error, StringComparison.Ordinal);
        Assert.Contains(" awaits ", outcome.Error, StringComparison.Ordinal);
        // Both ranks answer every time, and nothing of what they say is new.
        Assert.Equal(3, cluster.Notices.All.OfType<RunNotice.Recovering>().Count(recovering => recovering.Reason == "nothing has moved"));
    }

    [Fact]
    public async Task A_rank_that_has_not_stirred_for_long_is_given_up_with_its_node_and_the_run_says_what_it_hung_at()
    {
        var plan = TinyRun.Plan(3, 3) with { Protection = Memory(1) };
        using var cluster = new SimulatedCluster(1, plan, 5);
        var isHung = 0;
        cluster.Network.Seen = (_, to, message) =>
        {
            // The node lives and answers, but nothing comes from its rank: here it is the network that says no more, and the answer is given in its place.
            if (message is StageProtocol.StepCompleted { Step: 3 } && Interlocked.Exchange(ref isHung, 1) == 0) cluster.Network.Cut(["c"], ["a", "b", "d", "e"]);
            if (message is NodeProtocol.ReportHosted ask && to == "c" && isHung == 1)
            {
                HostedStage still = new(1, ask.Generation, Generation.First, 3, 5, 3, false, "", "", "computes 1B2 of step 4", 700);
                cluster.Coordinator.Tell(new NodeProtocol.HostedReport(cluster.Node("c").Id, cluster.Node("c"), ask.Generation, [still], []), Akka.Actor.ActorRefs.NoSender);
            }
        };
        cluster.StartCoordinator("a", run => run with { Recovery = run.Recovery with { SuspectAfter = TimeSpan.Zero, HangAfter = TimeSpan.FromMinutes(10) } });
        Assert.Equal(new RunOutcome(RunEnd.Completed, 5), await cluster.UntilAsync(cluster.Ended));
        Assert.Equal(1, isHung);
        TinyRun.AssertEqual(TinyRun.Reference(3, true, Precision.Fp32), cluster.Notices.Steps, allowsMissingDigests: true);
        var lost = Assert.Single(cluster.Notices.All.OfType<RunNotice.NodeLost>());
        Assert.Equal("c", lost.Node.Id.Address);
        Assert.Contains("rank 1 computes 1B2 of step 4 after step 3 and has not stirred for 700 s", lost.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_hang_that_an_earlier_start_of_the_run_has_seen_at_the_same_step_is_the_second_one()
    {
        using var cluster = new SimulatedCluster(1, TinyRun.Plan(3, 3) with { Protection = Memory(1) }, 5);
        var isHung = 0;
        cluster.Network.Seen = (_, to, message) =>
        {
            if (message is StageProtocol.StepCompleted { Step: 3 } && Interlocked.Exchange(ref isHung, 1) == 0) cluster.Network.Cut(["c"], ["a", "b", "d", "e"]);
            if (message is NodeProtocol.ReportHosted ask && to == "c" && isHung == 1)
            {
                HostedStage still = new(1, ask.Generation, Generation.First, 3, 5, 3, false, "", "", "computes 1B2 of step 4", 700);
                cluster.Coordinator.Tell(new NodeProtocol.HostedReport(cluster.Node("c").Id, cluster.Node("c"), ask.Generation, [still], []), Akka.Actor.ActorRefs.NoSender);
            }
        };
        cluster.StartCoordinator("a", run => run with
        {
            Hangs = [new KnownHang(3, [.. Enumerable.Range(0, run.UnitCounts.Sum())])],
            Recovery = run.Recovery with { SuspectAfter = TimeSpan.Zero, HangAfter = TimeSpan.FromMinutes(10) },
        });
        var outcome = await cluster.UntilAsync(cluster.Ended);
        Assert.Equal(RunEnd.Failed, outcome.End);
        Assert.Contains("rank 1 computes 1B2 of step 4 after step 3 and has not stirred for 700 s, as it did before on another node or in an earlier start of the run", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_second_hang_at_the_same_step_ends_the_run_also_under_a_leader_that_has_not_seen_the_first()
    {
        var folder = Directory.CreateTempSubdirectory("pipeline-hang-").FullName;
        var store = new FolderCheckpointStore(folder);
        var plan = TinyRun.Plan(3, 3) with { Protection = Memory(1), Checkpoints = new CheckpointPlan(store, RunTests.Describe) };
        using var cluster = new SimulatedCluster(1, plan, 6);
        JournalInMemory journal = new();
        TaskCompletionSource isLeaderless = new(TaskCreationOptions.RunContinuationsAsynchronously);
        // How often the rank has hung, where, and what its actor is called there.
        var (hangs, place, name) = (0, "c", "");
        cluster.Network.Seen = (_, to, message) =>
        {
            // Rank 1 hangs at step 4, wherever it lies: its node answers for it, and nothing else comes from there.
            if (message is StageProtocol.StepCompleted { Rank: 1, Step: 3 } && Interlocked.CompareExchange(ref hangs, 1, 0) == 0) cluster.Network.Cut(["c"], ["a", "b", "d", "e", "f"]);
            if (message is NodeProtocol.HostStage { Assignment.Rank: 1 } hosted && Interlocked.CompareExchange(ref hangs, 2, 1) == 1)
            {
                (place, name) = (to, hosted.Assignment.Layout.Ranks[1].StagePath.Split('/')[^1]);
                cluster.Network.Cut([to], [.. cluster.NodeNames.Where(node => node != to)]);
                // The leader that gave the first node up dies when it has said where the rank goes on.
                cluster.Kill("a", isHeard: false);
                isLeaderless.TrySetResult();
            }

            if (message is NodeProtocol.ReportHosted ask && hangs > 0 && (to == "c" || to == place) && cluster.Node(to) is var node)
            {
                HostedStage still = new(1, ask.Generation, Generation.First, 3, 5, 3, false, "", name, "computes 1B2 of step 4", 700);
                cluster.Coordinator.Tell(new NodeProtocol.HostedReport(node.Id, node, ask.Generation, to == place ? [still] : [], []), Akka.Actor.ActorRefs.NoSender);
            }
        };
        CoordinatedRun Watched(CoordinatedRun run) => run with { Journal = journal, Recovery = run.Recovery with { SuspectAfter = TimeSpan.Zero, HangAfter = TimeSpan.FromMinutes(10) } };
        cluster.StartCoordinator("a", Watched);
        await cluster.UntilAsync(() => isLeaderless.Task.IsCompleted);
        Assert.Equal([3L], journal.Last!.Hangs!.Select(hang => hang.Step));
        var outcome = await NodeFaultTests.TakeOverAsync(cluster, journal, store, ["a", "c"], Watched);
        Assert.Equal(RunEnd.Failed, outcome.End);
        Assert.Contains("rank 1 computes 1B2 of step 4 after step 3 and has not stirred for 700 s, as it did before on another node", outcome.Error, StringComparison.Ordinal);
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task A_loss_after_all_went_back_past_the_newest_checkpoint_leads_to_none_of_the_past_that_was_left()
    {
        const int Steps = 10;
        var folder = Directory.CreateTempSubdirectory("pipeline-rolled-back-").FullName;
        var store = new FolderCheckpointStore(folder);
        // Steps 3 to 5 fail the first time only. The checkpoint after step 4 is made while they are passed over.
        var clean = TinyRun.Plan(3, 2, steps: Steps);
        var plan = clean with
        {
            Units = [.. clean.Units.SkipLast(1), new InfiniteUnit(clean.Units[^1], 1, 3, 4, 5) { Heals = true }],
            NonFinite = new NonFinitePolicy(2, 2),
            StepsAhead = 1,
            Checkpoints = new CheckpointPlan(store, RunTests.Describe) { SaveEvery = 2, KeepCount = 3 },
        };
        using var cluster = new SimulatedCluster(1, plan, 5);
        var isKilled = 0;
        cluster.Network.Seen = (from, _, message) =>
        {
            if (from == "c" && message is TensorFrame { Key.Step.Step: 3 } && cluster.Notices.All.OfType<RunNotice.RolledBack>().Any() && Interlocked.Exchange(ref isKilled, 1) == 0) cluster.Kill("c");
        };
        cluster.StartCoordinator("a");
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await cluster.UntilAsync(cluster.Ended));
        Assert.Equal(1, isKilled);
        Assert.InRange(Assert.Single(cluster.Notices.All.OfType<RunNotice.RolledBack>()).Step, 0, 2);
        var reference = TinyRun.Train(clean);
        TinyRun.AssertEqual([.. reference.Skip(4)], cluster.Notices.Steps.Skip(4), allowsMissingDigests: true);
        TinyRun.AssertHolds(store, plan, reference[^1]);
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task What_no_rank_awaits_stops_no_run_and_changes_no_bit()
    {
        using var cluster = new SimulatedCluster(1, TinyRun.Plan(3, 3) with { EvaluateEvery = 2, EvaluationMicroBatchCount = 2, Protection = Memory(1) }, 4);
        var isSaid = 0;
        string[] paths = [];
        cluster.Network.Seen = (_, _, message) =>
        {
            if (message is NodeProtocol.HostStage hosted) paths = [.. hosted.Assignment.Layout.Ranks.Select(place => place.StagePath)];
            if (message is not StageProtocol.StepCompleted { Step: 1 } || Interlocked.Exchange(ref isSaid, 1) == 1) return;
            foreach (var path in paths)
            {
                foreach (var stray in Strays(cluster.Run)) cluster.Say(path, stray);
            }
        };
        cluster.StartCoordinator("a");
        Assert.Equal(new RunOutcome(RunEnd.Completed, 5), await cluster.UntilAsync(cluster.Ended));
        Assert.Equal(1, isSaid);
        TinyRun.AssertEqual(TinyRun.Reference(3, true, Precision.Fp32), cluster.Notices.Steps);
    }

    /// <summary>Well-formed messages about nothing that a rank would wait for, of steps that are still to come.</summary>
    private static IEnumerable<object> Strays(RunId run)
    {
        StepKey step = new(run, new Generation(9), 0, 4);
        foreach (var kind in Enum.GetValues<FrameKind>())
        {
            yield return new TensorFrame(new FrameKey(step, 77, 0, 0, kind), [new FrameTensor(FrameDataType.Float32, [1], 4)], new byte[4]);
            yield return new TensorFrame(new FrameKey(step, 0, 77, 0, kind), [new FrameTensor(FrameDataType.Float32, [1], 4)], new byte[4]);
            yield return new TensorFrame(new FrameKey(step with { Step = 5 }, 0, 0, 0, kind), [], Array.Empty<byte>());
        }

        // One that passes for a tie of the model, which no rank takes here.
        yield return new TensorFrame(new FrameKey(step, 5, 0, 0, FrameKind.TiedGradientToOwner), [new FrameTensor(FrameDataType.Float32, [1], 4)], new byte[4]);
        yield return new NeighbourProtocol.SquaredNorms(step, 0, [1], [], 0, -1);
        yield return new NeighbourProtocol.SquaredNorms(step, 2, [], [1], -5, -1);
        yield return new NeighbourProtocol.SquaredNorms(step, 99, [1], [], 0, -1);
    }

    private static ProtectionDuties Memory(int every) => new(ProtectionKind.Memory, every, "");
}
