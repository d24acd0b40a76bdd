using System.Collections.Concurrent;
using Akka.Actor;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Protocol.Wire;
using Pipeline.Schedules;
using Pipeline.Tests.Checkpoints;
using Pipeline.Tests.Nodes;
using Pipeline.Tests.Runs;
using Pipeline.Tests.Training;
using Xunit;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Tests.Coordinator;

/// <summary>A coordinator that goes back to a checkpoint, with stages that say what a test has them say: nothing of what comes again survives.</summary>
public sealed class RolledBackRunTests : IDisposable
{
    private const int Ranks = 2;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private readonly ActorSystem _system = ActorSystem.Create("rolled-back", WireSetup.For("akka { loglevel = ERROR, stdout-loglevel = ERROR, log-dead-letters = off }"));
    private readonly TemporaryFolder _folder = new();
    private readonly NoticeList _notices = new();
    private readonly ConcurrentQueue<SaveCheckpoint> _saves = new();
    private readonly TaskCompletionSource<RunOutcome> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private IActorRef _coordinator = ActorRefs.Nobody;
    private Generation _generation = Generation.First;

    public void Dispose()
    {
        _system.Terminate().Wait(Patience);
        _folder.Dispose();
    }

    [Fact]
    public async Task An_evaluation_that_was_heard_before_its_step_was_committed_is_told_as_it_comes_out_the_second_time()
    {
        Start(new RunPlan { StartStep = 0, EndStep = 3, EvaluateEvery = 3, StepsAhead = 8, NonFinite = new NonFinitePolicy(0, 2) });
        await RunsAsync();
        Complete(1, 2);
        Evaluate(3, lossSum: 30);
        Fail(3, rank: 0);
        await GoesBackAsync();
        Complete(1, 2);
        Evaluate(3, lossSum: 50);
        Complete(3);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 3), await _ended.Task.WaitAsync(Patience));
        Assert.Equal([5.0], _notices.All.OfType<RunNotice.Evaluated>().Select(evaluated => evaluated.Loss));
    }

    [Fact]
    public async Task Checkpoints_of_what_comes_again_are_removed_before_others_are_made_in_their_places()
    {
        FolderCheckpointStore store = new(_folder.In("checkpoints"));
        Start(
            new RunPlan { StartStep = 0, EndStep = 6, Saves = true, SaveEvery = 2, StepsAhead = 8, NonFinite = new NonFinitePolicy(2, 2) },
            new CheckpointKeeper(store, _ => SampleCheckpoint.Description, keepCount: 3));
        await RunsAsync();
        Complete(1, 2);
        await SaveAsync(store, 2);
        Fail(3, Enumerable.Range(0, Ranks));
        Fail(4, Enumerable.Range(0, Ranks));
        await SaveAsync(store, 4);
        Assert.Equal([4, 2], Steps(store));
        Fail(5, rank: 1);
        await GoesBackAsync();
        Assert.Equal(2, Assert.Single(_notices.All.OfType<RunNotice.RolledBack>()).Step);
        await UntilAsync(() => Steps(store).SequenceEqual([2]));
        Complete(3, 4);
        await SaveAsync(store, 4);
        Complete(5, 6);
        await SaveAsync(store, 6);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 6), await _ended.Task.WaitAsync(Patience));
        Assert.Equal([6, 4, 2], Steps(store));
    }

    [Fact]
    public async Task What_all_go_back_to_is_not_pruned_for_a_later_checkpoint_that_was_being_made_though_only_one_is_kept()
    {
        FolderCheckpointStore store = new(_folder.In("checkpoints"));
        SampleCheckpoint.Save(store, 2);
        using ManualResetEventSlim gate = new();
        Start(
            new RunPlan { StartStep = 2, EndStep = 6, Saves = true, SaveEvery = 2, StepsAhead = 8, NonFinite = new NonFinitePolicy(0, 2) },
            new CheckpointKeeper(new WatchedStore(store, change => { if (change > 0) gate.Wait(Patience); }), _ => SampleCheckpoint.Description, keepCount: 1));
        await RunsAsync();
        Complete(3, 4);
        await WriteAsync(store, 4);
        Fail(5, rank: 1);
        gate.Set();
        await GoesBackAsync();
        Assert.Equal(2, Assert.Single(_notices.All.OfType<RunNotice.RolledBack>()).Step);
        await UntilAsync(() => Steps(store).SequenceEqual([2]));
        Complete(3, 4);
        await SaveAsync(store, 4);
        Assert.Equal([4], Steps(store));
        Complete(5, 6);
        await SaveAsync(store, 6);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 6), await _ended.Task.WaitAsync(Patience));
        Assert.DoesNotContain(_notices.All, notice => notice is RunNotice.Warned { Kind: "stale-checkpoint" });
    }

    [Fact]
    public async Task A_step_that_is_not_finite_is_noticed_also_where_a_later_one_is_heard_of_first_and_what_was_said_of_that_one_is_forgotten()
    {
        Start(new RunPlan { StartStep = 0, EndStep = 2, StepsAhead = 8, NonFinite = new NonFinitePolicy(0, 2) });
        await RunsAsync();
        _coordinator.Tell(StepLedgerTests.Report(0, 2) with { Totals = new StepOutcome(7, 8, 1, StepVerdict.Apply, -1) });
        Fail(1, rank: 1);
        await GoesBackAsync();
        Complete(1, 2);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 2), await _ended.Task.WaitAsync(Patience));
        Assert.Equal(0, Assert.Single(_notices.All.OfType<RunNotice.RolledBack>()).Step);
        Assert.Equal([1.0 / 8, 2.0 / 8], _notices.Steps.Select(step => step.Loss));
    }

    private void Start(RunPlan plan, CheckpointKeeper? keeper = null) => _coordinator = _system.ActorOf(CoordinatorActor.Props(
        new CoordinatedRun
        {
            Run = new RunId(1),
            Plan = plan,
            UnitCounts = [1, 1],
            Schedule = ScheduleText.Format(ScheduleCatalog.Generate("1f1b", Ranks, 2)),
            RankCount = Ranks,
            Stages = (context, rank) => context.ActorOf(Props.Create(() => new ObedientStage(rank, _saves))),
            Keeper = keeper,
        },
        _notices,
        _ended));

    private void Complete(params long[] steps)
    {
        foreach (var step in steps)
        {
            for (var rank = 0; rank < Ranks; rank++) _coordinator.Tell(StepLedgerTests.Report(rank, step) with { Generation = _generation });
        }
    }

    private void Fail(long step, IEnumerable<int> ranks)
    {
        foreach (var rank in ranks) Fail(step, rank);
    }

    private void Fail(long step, int rank) => _coordinator.Tell(
        StepLedgerTests.Report(rank, step) with { Generation = _generation, Totals = new StepOutcome(double.NaN, 8, double.NaN, StepVerdict.NonFiniteLoss, 1) });

    private void Evaluate(long afterStep, double lossSum) => _coordinator.Tell(new HeldOutEvaluated(_generation, Ranks - 1, afterStep, lossSum, 10));

    private Task GoesBackAsync()
    {
        _generation = _generation.Next();
        return RunsAsync();
    }

    /// <summary>All ranks have their state in the present generation.</summary>
    private async Task RunsAsync()
    {
        var end = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        while (await _coordinator.Ask<RunStatus>(QueryStatus.Instance, Patience) is not { Phase: "running" } status || status.Generation != _generation)
        {
            Assert.True(Environment.TickCount64 < end, $"The run does not reach generation {_generation}.");
            await Task.Yield();
        }
    }

    /// <summary>The ranks do what they were told: each writes its part of the checkpoint, and it becomes one.</summary>
    private async Task SaveAsync(FolderCheckpointStore store, long step)
    {
        var saved = Saved(step);
        await WriteAsync(store, step);
        await UntilAsync(() => Saved(step) > saved);
    }

    private async Task WriteAsync(FolderCheckpointStore store, long step)
    {
        SaveCheckpoint? save = null;
        await UntilAsync(() => (save = _saves.LastOrDefault(order => order.Step == step && order.Generation == _generation)) is not null);
        for (var rank = 0; rank < Ranks; rank++)
        {
            var file = store.WriteTensors(new SaveAttempt(step, save!.Attempt), CheckpointFileName.Model(rank, Ranks), [SampleCheckpoint.Source($"unit-{rank}.weight", TensorTypes.F32, [4], step)]);
            WrittenTensor[] tensors = [.. file.Tensors.Select(tensor => new WrittenTensor(tensor.Name, tensor.DType, tensor.Shape, tensor.Hash))];
            _coordinator.Tell(new CheckpointPartWritten(_generation, rank, step, save.Attempt, [new WrittenFile(file.Name, file.ByteCount, file.Hash, tensors)]));
        }
    }

    private int Saved(long step) => _notices.All.OfType<RunNotice.CheckpointSaved>().Count(notice => notice.Step == step);

    private static IEnumerable<long> Steps(FolderCheckpointStore store) => store.List().Where(summary => summary.State == CheckpointState.Complete).Select(summary => summary.Step);

    private static async Task UntilAsync(Func<bool> isSo)
    {
        var start = TimeProvider.System.GetTimestamp();
        while (!isSo())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(start) < Patience, "It did not come to that.");
            await Task.Yield();
        }
    }

    /// <summary>Takes every assignment at once, and leaves what follows from it to the test.</summary>
    private sealed class ObedientStage : ReceiveActor
    {
        public ObedientStage(int rank, ConcurrentQueue<SaveCheckpoint> saves)
        {
            Receive<AssignStage>(assignment =>
            {
                Sender.Tell(new StageAssigned(assignment.Generation, rank));
                Sender.Tell(new StageReady(assignment.Generation, rank, 1));
            });
            Receive<SaveCheckpoint>(saves.Enqueue);
            Receive<StopStage>(stop => Sender.Tell(new StageStopped(stop.Generation, rank)));
            ReceiveAny(_ => { });
        }
    }
}
