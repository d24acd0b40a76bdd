using Akka.Actor;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Protocol;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Tests.Nodes;

/// <summary>Ranks that are granted many steps go on while nobody leads, and stand at the step under way as soon as they are asked to.</summary>
[Collection(PipelineCollection.Name)]
public sealed class NodeAheadTests : IDisposable
{
    private const int Steps = 40;
    private const int Window = 30;
    private const int Killed = 6;
    private const int SaveEvery = 7;

    // What is asked is asked when a rank has first ended this step, and no rank ends the other before all have heard of it.
    private const int Asked = 10;
    private const int Gated = 12;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-ahead-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Ranks_go_on_while_nobody_leads_and_the_next_leader_finds_them_there_or_all_but_one_that_was_lost_meanwhile(bool losesStage)
    {
        var plan = Plan(ProtectionKind.Memory);
        JournalInMemory journal = new();
        using var cluster = new SimulatedCluster(1, plan, 5);
        long furthest = 0;
        cluster.Network.Seen = (_, _, message) =>
        {
            if (message is StepCompleted { Step: Killed }) cluster.Network.Kill("a");
            // What ranks tell each other: nobody is there whom they could report to.
            if (message is NeighbourProtocol.StepTotals { Step.Step: var step }) Volatile.Write(ref furthest, step);
        };
        cluster.StartCoordinator("a", run => Ahead(run) with { Journal = journal });
        // The first window reaches four steps further than the last step that was heard of.
        await cluster.UntilAsync(() => Volatile.Read(ref furthest) >= Killed);
        await cluster.StopCoordinatorAsync();
        await cluster.UntilAsync(() => Volatile.Read(ref furthest) >= Killed + 8);
        if (losesStage) cluster.Network.Kill("c");
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await NodeFaultTests.TakeOverAsync(cluster, journal, plan.Checkpoints!.Store, ["a"], Ahead));
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, Steps), cluster.Notices.Steps, allowsMissingDigests: true);
        var reason = cluster.Notices.All.OfType<RunNotice.Recovering>().First(notice => notice.Reason.StartsWith("the coordinator was replaced", StringComparison.Ordinal)).Reason;
        Assert.InRange(long.Parse(reason.Split(' ')[^2], System.Globalization.CultureInfo.InvariantCulture), Killed + 5, Steps);
        // Who has lost no state has computed nothing twice, and nobody has begun further back than the copies that were taken without a leader.
        Assert.All(cluster.Work.Where(work => work.Key.Node != "e"), work => Assert.Equal(1, work.Value));
        if (losesStage) Assert.True(cluster.Work.Keys.Where(work => work.Node == "e").Min(work => work.Step) > Killed);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_successor_that_holds_a_rank_hands_it_to_a_spare_at_a_steps_end_and_nobody_computes_a_step_twice(bool hasSpare)
    {
        var plan = Plan(ProtectionKind.Memory);
        JournalInMemory journal = new();
        using var cluster = new SimulatedCluster(1, plan, hasSpare ? 5 : 4);
        TaskCompletionSource isLost = new(TaskCreationOptions.RunContinuationsAsynchronously);
        cluster.Network.Seen = (_, _, message) =>
        {
            if (message is not StepCompleted { Step: Killed }) return;
            cluster.Network.Kill("a");
            isLost.TrySetResult();
        };
        // The last step is far enough for a move to be made before it.
        cluster.StartCoordinator("a", run => run with { Journal = journal });
        await cluster.UntilAsync(() => isLost.Task.IsCompleted);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await NodeFaultTests.TakeOverAsync(
            cluster, journal, plan.Checkpoints!.Store, ["a"], run => run with { Recovery = run.Recovery with { RelievesLeader = true } }));
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, Steps), cluster.Notices.Steps, allowsMissingDigests: true);
        Assert.All(cluster.Work, work => Assert.Equal(1, work.Value));
        var moves = cluster.Notices.All.OfType<RunNotice.Recovering>().Where(notice => notice.Reason.StartsWith(LeaderRelief.Reason, StringComparison.Ordinal)).ToArray();
        if (hasSpare) Assert.Contains((0, new NodeId("e", 1)), Assert.Single(moves).Ranks);
        else Assert.Empty(moves);
    }

    [Fact]
    public async Task A_rank_whose_memory_for_others_is_full_goes_no_further_than_four_steps_while_nobody_leads()
    {
        var plan = Plan(ProtectionKind.Memory) with { StepsAhead = 4 };
        JournalInMemory journal = new();
        using var cluster = new SimulatedCluster(1, plan, 4);
        long furthest = 0;
        cluster.Network.Seen = (_, _, message) =>
        {
            if (message is StepCompleted { Step: Killed }) cluster.Network.Kill("a");
            if (message is NeighbourProtocol.StepTotals { Step.Step: var step }) Volatile.Write(ref furthest, step);
        };
        cluster.StartCoordinator("a", run => Ahead(run) with { Journal = journal, AheadByteCount = 1 });
        TaskCompletionSource isLater = new();
        await cluster.UntilAsync(() => Volatile.Read(ref furthest) >= Killed);
        await cluster.StopCoordinatorAsync();
        cluster.After(TimeSpan.FromMinutes(1), () => isLater.TrySetResult());
        await cluster.UntilAsync(() => isLater.Task.IsCompleted);
        Assert.InRange(Volatile.Read(ref furthest), Killed, Killed + 4);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await NodeFaultTests.TakeOverAsync(cluster, journal, plan.Checkpoints!.Store, ["a"], run => Ahead(run) with { AheadByteCount = 1 }));
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, Steps), cluster.Notices.Steps, allowsMissingDigests: true);
    }

    [Fact]
    public async Task A_leader_that_dies_when_its_ranks_are_held_and_not_yet_released_leaves_them_to_its_successor()
    {
        var plan = Plan(ProtectionKind.Memory);
        JournalInMemory journal = new();
        using var cluster = new SimulatedCluster(1, plan, 4);
        TaskCompletionSource isHeld = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var (isPaused, answers) = (0, 0);
        cluster.Network.Seen = (_, _, message) =>
        {
            if (message is StepCompleted { Step: 6 } && Interlocked.Exchange(ref isPaused, 1) == 0) cluster.Coordinator.Tell(new PauseRun());
            // Some ranks are held, some are not, and nobody has been granted anything anew.
            if (message is not StepsHeld || isPaused == 0 || Interlocked.Increment(ref answers) != 2) return;
            cluster.Network.Kill("a");
            isHeld.TrySetResult();
        };
        cluster.StartCoordinator("a", run => Ahead(run) with { Journal = journal });
        await cluster.UntilAsync(() => isHeld.Task.IsCompleted);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await NodeFaultTests.TakeOverAsync(cluster, journal, plan.Checkpoints!.Store, ["a"], Ahead));
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, Steps), cluster.Notices.Steps, allowsMissingDigests: true);
        Assert.All(cluster.Work, work => Assert.Equal(1, work.Value));
    }

    [Theory]
    [InlineData(ProtectionKind.Memory, 1)]
    [InlineData(ProtectionKind.None, 1)]
    [InlineData(ProtectionKind.Memory, 4)]
    public async Task A_pause_is_reached_at_the_step_under_way_though_many_are_granted(ProtectionKind kind, int every)
    {
        await AskAsync(kind, every, new PauseRun(), async (cluster, answer) =>
        {
            Assert.True(answer.IsDone, answer.Sentence);
            var status = await ReachAsync(cluster, "paused");
            Assert.InRange(status.Step, Asked, Gated);
            Assert.Equal(status.GrantedStep, status.Step);
            Assert.Equal(status.Step, Assert.Single(cluster.Notices.All.OfType<RunNotice.Paused>()).Step);
            cluster.Coordinator.Tell(new ResumeRun());
        });
    }

    [Fact]
    public async Task A_checkpoint_that_is_asked_for_is_of_the_step_under_way_and_those_of_the_cadence_stay_where_they_were()
    {
        var store = await AskAsync(ProtectionKind.Memory, 4, new SaveNow(), (cluster, answer) =>
        {
            Assert.True(answer.IsDone, answer.Sentence);
            return Task.CompletedTask;
        });
        var saved = store.List().Where(summary => summary.State == CheckpointState.Complete).Select(summary => summary.Step).Order().ToArray();
        Assert.InRange(Assert.Single(saved, step => step % SaveEvery != 0 && step != Steps), Asked, Gated);
        Assert.Equal([7, 14, 21, 28, 35, Steps], saved.Where(step => step % SaveEvery == 0 || step == Steps));
    }

    [Theory]
    [InlineData(2 * SaveEvery)]
    [InlineData((2 * SaveEvery) + 2)]
    public async Task A_checkpoint_that_was_due_while_nobody_led_is_made_of_the_step_at_which_the_next_leader_finds_the_ranks(int found)
    {
        using ManualResetEventSlim gate = new();
        var store = new FolderCheckpointStore(Path.Combine(_folder, "due"));
        var (plain, isThere) = (Plan(ProtectionKind.Memory), false);
        var plan = plain with
        {
            Batches = new CountedBatches(plain.Batches, (step, _) =>
            {
                if (step != found) return;
                Volatile.Write(ref isThere, true);
                gate.Wait(Patience);
            }),
            Checkpoints = new CheckpointPlan(store, RunTests.Describe) { SaveEvery = SaveEvery, KeepCount = 20 },
        };
        JournalInMemory journal = new();
        using var cluster = new SimulatedCluster(1, plan, 4);
        cluster.Network.Seen = (_, _, message) =>
        {
            if (message is StepCompleted { Step: Killed }) cluster.Network.Kill("a");
            // What is granted after all ranks have told the next leader which step they have begun.
            if (message is GrantSteps { Hold: 1 }) gate.Set();
        };
        try
        {
            cluster.StartCoordinator("a", run => Ahead(run) with { Journal = journal });
            await cluster.UntilAsync(() => Volatile.Read(ref isThere));
            await cluster.StopCoordinatorAsync();
            // Ranks that are past it have written what the leader that died had asked for.
            if (found > 2 * SaveEvery) await cluster.UntilAsync(() => Directory.GetDirectories(Path.Combine(_folder, "due"), $"step-{2 * SaveEvery}.saving-*").Length > 0);
            Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await NodeFaultTests.TakeOverAsync(cluster, journal, store, ["a"], Ahead));
        }
        finally
        {
            gate.Set();
        }

        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, Steps), cluster.Notices.Steps, allowsMissingDigests: true);
        Assert.Equal([found, 21, 28, 35, Steps], store.List().Where(summary => summary.State == CheckpointState.Complete).Select(summary => summary.Step).Order());
        // What the ranks wrote for the leader that died is nobody's, and goes with the first pruning.
        Assert.DoesNotContain(Directory.GetFileSystemEntries(Path.Combine(_folder, "due")), path => path.Contains(".saving-", StringComparison.Ordinal));
        var late = cluster.Notices.All.OfType<RunNotice.Warned>().Where(warned => warned.Kind == "checkpoint-late").ToArray();
        if (found % SaveEvery == 0) Assert.Empty(late);
        else Assert.Contains($"was due after step {2 * SaveEvery}, while nobody led the run, and the ranks are past it: the state after step {found} is saved", Assert.Single(late).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_checkpoint_that_is_asked_for_is_refused_where_the_run_ends_before_it()
    {
        using ManualResetEventSlim gate = new();
        TaskCompletionSource<Task<OperationResult>> asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        SimulatedCluster? running = null;
        var (plain, isAsked, isStopped) = (Plan(ProtectionKind.Memory), 0, 0);
        var plan = plain with
        {
            Batches = new CountedBatches(plain.Batches, (step, _) =>
            {
                if (step != Gated) return;
                // Rank 0 has begun the step, and nobody can end it.
                if (Interlocked.Exchange(ref isAsked, 1) == 0) asked.SetResult(running!.Coordinator.Ask<OperationResult>(new SaveNow(), Patience));
                gate.Wait(Patience);
            }),
        };
        using var cluster = running = new SimulatedCluster(1, plan, 4);
        cluster.Network.Seen = (_, to, message) =>
        {
            if (message is SaveCheckpoint { Step: Gated } && Interlocked.Exchange(ref isStopped, 1) == 0) cluster.Coordinator.Tell(new StopRunNow());
            // The ranks that rank 0 feeds have been told before: they take nothing more.
            if (message is StopStage && to == "d") gate.Set();
        };
        try
        {
            cluster.StartCoordinator("a", Ahead);
            await cluster.UntilAsync(() => asked.Task.IsCompleted);
            Assert.Equal(RunEnd.Stopped, (await cluster.UntilAsync(cluster.Ended)).End);
            var answer = await cluster.UntilAsync(await asked.Task);
            Assert.False(answer.IsDone);
            Assert.Contains($"before the state after step {Gated} was saved. Its newest checkpoint is that of step 0.", answer.Sentence, StringComparison.Ordinal);
        }
        finally
        {
            gate.Set();
        }
    }

    [Fact]
    public async Task A_run_is_shortened_to_a_step_that_was_granted_already()
    {
        await AskAsync(ProtectionKind.Memory, 4, new ChangeSetting(SettingKind.Steps, Gated + 2), (_, answer) =>
        {
            Assert.True(answer.IsDone, answer.Sentence);
            return Task.CompletedTask;
        }, end: Gated + 2);
        await AskAsync(ProtectionKind.Memory, 4, new ChangeSetting(SettingKind.Steps, Asked), (_, answer) =>
        {
            Assert.False(answer.IsDone);
            Assert.Contains("the last step that is done or under way", answer.Sentence, StringComparison.Ordinal);
            return Task.CompletedTask;
        });
    }

    [Fact]
    public async Task A_rank_changes_places_at_the_step_under_way_though_many_are_granted()
    {
        await AskAsync(ProtectionKind.Memory, 30, new MoveRank(2, new NodeId("e", 1)), async (cluster, answer) =>
        {
            Assert.True(answer.IsDone, answer.Sentence);
            await cluster.UntilAsync(() => cluster.Work.Keys.Any(work => work.Node == "e"));
            Assert.InRange(cluster.Work.Keys.Where(work => work.Node == "e").Min(work => work.Step), Asked + 1, Gated + 1);
        });
    }

    [Fact]
    public async Task Pauses_at_any_moment_and_lost_messages_nodes_and_leaders_leave_the_bits_as_they_are() => await NodeFaultTests.ForSeedsAsync(6, async seed =>
    {
        var chance = new Random(seed);
        var plan = Plan(chance.Next(3) == 0 ? ProtectionKind.None : ProtectionKind.Memory, chance.Next(1, 5)) with { Steps = 16 };
        var store = new FolderCheckpointStore(Path.Combine(_folder, $"{seed}"));
        plan = plan with { Checkpoints = new CheckpointPlan(store, RunTests.Describe) { SaveEvery = chance.Next(2, 6) } };
        JournalInMemory journal = new();
        using var cluster = new SimulatedCluster(seed, plan, 5);
        cluster.Network.Faults = seed % 2 == 0 ? (0.01, 0.03, 0.1) : default;
        List<string> victims = seed % 3 == 0 ? ["a"] : seed % 3 == 1 ? [chance.Next(2) == 0 ? "b" : "c"] : [];
        TaskCompletionSource<RunOutcome> lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
        NodeFaultTests.ScheduleLosses(cluster, chance, victims, lost);
        var (losses, reports, pause) = (cluster.Network.Seen, 0, chance.Next(1, 20));
        cluster.Network.Seen = (from, to, message) =>
        {
            if (message is StepCompleted && Interlocked.Increment(ref reports) % 20 == pause)
            {
                cluster.Coordinator.Tell(new PauseRun());
                cluster.After(TimeSpan.FromSeconds(2), () => cluster.Coordinator.Tell(new ResumeRun()));
            }

            losses?.Invoke(from, to, message);
        };
        cluster.StartCoordinator("a", run => Ahead(run) with { Journal = journal });
        var outcome = await cluster.UntilAsync(await cluster.UntilAsync(Task.WhenAny(cluster.Ended, lost.Task)));
        if (lost.Task.IsCompleted) outcome = await NodeFaultTests.TakeOverAsync(cluster, journal, store, victims, Ahead);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 16), outcome);
        var reference = TinyRun.Reference(2, true, Precision.Fp32, 16);
        TinyRun.AssertEqual(reference, cluster.Notices.Steps, allowsMissingDigests: true);
        TinyRun.AssertHolds(store, plan, reference[^1]);
    });

    private async Task<FolderCheckpointStore> AskAsync(ProtectionKind kind, int every, IOperation operation, Func<SimulatedCluster, OperationResult, Task> then, long end = Steps)
    {
        using ManualResetEventSlim gate = new();
        var store = new FolderCheckpointStore(Path.Combine(_folder, Guid.NewGuid().ToString("N")));
        var plain = Plan(kind, every);
        var plan = plain with
        {
            Batches = new CountedBatches(plain.Batches, (step, _) => { if (step == Gated) gate.Wait(Patience); }),
            Checkpoints = new CheckpointPlan(store, RunTests.Describe) { SaveEvery = SaveEvery, KeepCount = 20 },
        };
        using var cluster = new SimulatedCluster(1, plan, 5);
        try
        {
            var asked = cluster.AtStep(Asked, () => cluster.Coordinator.Ask<OperationResult>(operation, Patience));
            // Ranks stand, or are known to go no further, before the gate opens.
            var isHeld = 0;
            var seen = cluster.Network.Seen!;
            cluster.Network.Seen = (from, to, message) =>
            {
                seen(from, to, message);
                if (message is StepsHeld) Interlocked.Increment(ref isHeld);
            };
            cluster.StartCoordinator("a", Ahead);
            await cluster.UntilAsync(() => asked.IsCompleted);
            await cluster.UntilAsync(() => Volatile.Read(ref isHeld) >= plan.StageCount || asked.Result.IsCompleted);
            gate.Set();
            await then(cluster, await cluster.UntilAsync(await asked));
            Assert.Equal(new RunOutcome(RunEnd.Completed, end), await cluster.UntilAsync(cluster.Ended));
        }
        finally
        {
            gate.Set();
        }

        TinyRun.AssertEqual([.. TinyRun.Reference(2, true, Precision.Fp32, Steps).Take((int)end)], cluster.Notices.Steps, allowsMissingDigests: true);
        return store;
    }

    private static async Task<RunStatus> ReachAsync(SimulatedCluster cluster, string phase)
    {
        while (true)
        {
            var status = await cluster.UntilAsync(cluster.Coordinator.Ask<RunStatus>(QueryStatus.Instance));
            if (status.Phase == phase) return status;
        }
    }

    /// <summary>A step of the tiny model takes milliseconds: the window is as long as it may be.</summary>
    private static CoordinatedRun Ahead(CoordinatedRun run) => run with { Plan = run.Plan with { WindowSpan = TimeSpan.FromHours(1), MostStepsAhead = Window }, AheadByteCount = long.MaxValue };

    private TrainingPlan Plan(ProtectionKind kind, int every = 2) => TinyRun.Plan(3, 2, steps: Steps) with
    {
        StepsAhead = 2,
        EvaluateEvery = 4,
        EvaluationMicroBatchCount = 2,
        Protection = kind == ProtectionKind.None ? ProtectionDuties.None : new ProtectionDuties(kind, every, ""),
        Checkpoints = new CheckpointPlan(new FolderCheckpointStore(Path.Combine(_folder, "checkpoints")), RunTests.Describe),
    };
}
