using System.Diagnostics;
using Pipeline.Checkpoints;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using TorchSharp;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Stages;

/// <summary>
/// One rank's compute thread: the only caller of the model. It builds its stages, then runs the granted steps one after the other, with
/// the evaluations, copies and saves that follow them and nobody asked in between, until it is told to stop or fails. It knows of no
/// generation. Everything that it owns is freed on the same thread before <see cref="Ended"/>.
/// </summary>
internal sealed class StageExecutor
{
    private readonly AssignStage _assignment;
    private readonly IStageWorkloadFactory _factory;
    private readonly IStageLinks _links;
    private readonly StageInbox _inbox;
    private readonly List<StateCopy> _copies;
    private readonly CopyMemory _copyMemory;
    private readonly LiveSettings _live;
    private readonly FlightRecorder _flight;
    private readonly StepRecorder _recorder;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _step;
    private long _completedStep;
    private volatile bool _isEnded;

    /// <param name="assignment">The rank to become.</param>
    /// <param name="factory">Makes its workload.</param>
    /// <param name="links">Ways out.</param>
    /// <param name="inbox">Way in.</param>
    /// <param name="live">What may change while the thread computes.</param>
    /// <param name="flight">Keeps what the rank did last.</param>
    /// <param name="copies">The copies to start from, owned by the thread; none for other starting points.</param>
    /// <param name="copyMemory">Where copies of the state are taken; owned by the thread.</param>
    internal StageExecutor(
        AssignStage assignment, IStageWorkloadFactory factory, IStageLinks links, StageInbox inbox, LiveSettings live, FlightRecorder flight, IReadOnlyList<StateCopy> copies, CopyMemory copyMemory)
    {
        _copyMemory = copyMemory;
        _flight = flight;
        _recorder = new StepRecorder(flight);
        _live = live;
        _copies = [.. copies];
        _assignment = assignment;
        _factory = factory;
        _links = links;
        _inbox = inbox;
        _step = _completedStep = assignment.Start.Step;
    }

    /// <summary>The last completed step. Any thread.</summary>
    internal long CompletedStep => Interlocked.Read(ref _completedStep);

    /// <summary>Whether the last completed step was marked as the run's last. Any thread.</summary>
    internal bool IsEnded => _isEnded;

    /// <summary>Completes when the thread has freed everything.</summary>
    internal Task Ended => _ended.Task;

    /// <summary>Whether the thread waits for an input or for something to do. Any thread.</summary>
    internal bool IsWaiting => _inbox.Awaited is not null;

    /// <summary>Where the thread stands, for people. Any thread.</summary>
    internal string Standing => FormattableString.Invariant($"rank {_assignment.Rank} after step {CompletedStep} waits for {_inbox.Awaited?.ToString() ?? "nothing"}");

    /// <summary>Starts the thread.</summary>
    internal void Start()
    {
        ComputeThreads.Register(this);
        new Thread(Run) { IsBackground = true, Name = $"stage-{_assignment.Rank}" }.Start();
    }

    /// <summary>Asks the thread to end at the end of the action under way. Does not wait.</summary>
    /// <param name="finishesSaves">Whether a save of the step under way is completed first; see <see cref="StageInbox.Close"/>.</param>
    internal void RequestStop(bool finishesSaves = false) => _inbox.Close(finishesSaves);

    private void Run()
    {
        try
        {
            if (Prepare() is { } plan)
            {
                using (plan) Work(plan);
            }
        }
        finally
        {
            _inbox.Close();
            _inbox.Clear();
            _copyMemory.Dispose();
            ComputeThreads.Unregister(this);
            _ended.SetResult();
        }
    }

    private RankPlan? Prepare()
    {
        try
        {
            var workload = _factory.Create(_assignment);
            TorchRuntime.UseThreads(workload.ThreadCount);
            var folder = new CopyFolder(_assignment.Layout.Protection.Folder);
            foreach (var source in StartingCopies.Of(_assignment).Where(source => source.Holder is null)) _copies.Add(folder.Read(source.Copy));
            var plan = RankPlan.Build(_assignment, workload, _copies, _live);
            _flight.Know(RankMap.Of(plan));
            _inbox.Know(plan);
            var parameterCount = !plan.Speaks ? 0 : plan.Models.Values.SelectMany(model => model.State()).Where(tensor => !tensor.IsMoment).Sum(tensor => tensor.Tensor.numel());
            Pass(plan, "load");
            _links.Report(new StageReady(_assignment.Generation, _assignment.Rank, parameterCount));
            return plan;
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            Fail(StageFailure.WhilePreparing(_assignment, fault));
            return null;
        }
        finally
        {
            foreach (var copy in _copies) copy.Dispose();
        }
    }

    /// <summary>Makes what runs steps, which takes of a checkpoint what the rank keeps beside its stages.</summary>
    private StepRunner? Begin(RankPlan plan)
    {
        try
        {
            return new StepRunner(plan, _inbox, _links, _recorder, _flight.Trace, settled => OnSettled(plan, settled));
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            Fail(StageFailure.WhilePreparing(_assignment, fault));
            return null;
        }
    }

    private void Work(RankPlan plan)
    {
        using var steps = Begin(plan);
        if (steps is null) return;
        var evaluation = new EvaluationRunner(plan, _inbox, _links);
        using var part = plan.Workload.Checkpoints is { } store ? new CheckpointPart(store, plan.FirstPart, plan.PartCount, plan.Workload.CheckpointPatience) : null;
        try
        {
            if (_assignment.Start.Evaluates) Evaluate(plan, evaluation);
            _recorder.Restart();
            while (Proceed(plan, steps, evaluation, part))
            {
            }
        }
        catch (StageClosedException)
        {
            // Told to stop: nothing failed.
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            Fail(StageFailure.InAction(_assignment, _step, steps.Current ?? evaluation.Current, fault));
        }
    }

    /// <summary>Does what is next between two steps; false once the rank runs no further one.</summary>
    private bool Proceed(RankPlan plan, StepRunner steps, EvaluationRunner evaluation, CheckpointPart? part)
    {
        var order = _inbox.TakeOrder(_step, _isEnded, steps.Awaited);
        if (order.Kind == StageOrderKind.Step) return RunStep(plan, steps, evaluation);
        steps.Settle();
        if (order.Save is { } save) Save(save, plan, part);
        if (order.Kind == StageOrderKind.Copy) CopyAsAsked(plan, steps);
        return true;
    }

    private bool RunStep(RankPlan plan, StepRunner steps, EvaluationRunner evaluation)
    {
        var step = ++_step;
        _recorder.BeginStep(_live.WantsSpans(_assignment.Recording, step));
        steps.Run(step);
        var (copies, evaluates) = (plan.CopiesAfter(step), _live.Cadence.EvaluatesAfter(step));
        if (copies || evaluates) steps.Settle();
        // A step that was begun after the last one never was, and what follows the last one was done before.
        if (_step != step) return true;
        var since = Stopwatch.GetTimestamp();
        if (copies && _links.TakesCopies) Protect(plan, steps);
        if (evaluates) Evaluate(plan, evaluation);
        _recorder.Exclude(since);
        return true;
    }

    private void Pass(RankPlan plan, string point) => plan.Workload.Probe?.Invoke(new StagePoint(point, _assignment.Rank, _step, _assignment.Generation));

    /// <summary>Reports a step, also one that no rank applied: what follows from that is the coordinator's to decide.</summary>
    private void OnSettled(RankPlan plan, SettledStep settled)
    {
        if (settled.Outcome.IsLast) _step = settled.Step;
        _isEnded = settled.Outcome.IsLast;
        Interlocked.Exchange(ref _completedStep, settled.Step);
        _flight.Completed(settled.Step);
        _links.Report(Completed(plan, settled));
    }

    private void CopyAsAsked(RankPlan plan, StepRunner steps)
    {
        if (!_links.TakesCopies)
        {
            _inbox.Uncopied(_step);
            return;
        }

        var since = Stopwatch.GetTimestamp();
        Protect(plan, steps);
        _recorder.Exclude(since);
    }

    private void Protect(RankPlan plan, StepRunner steps)
    {
        Pass(plan, "copy");
        _inbox.TakeCopyPlace();
        _inbox.Copied(_step);
        var id = new CopyId(_assignment.Layout.Run, _assignment.Layout.PartitionedIn, _assignment.Rank, _step);
        _links.Protect(StateCopy.Of(id, plan.Models.OrderBy(pair => pair.Key).Select(pair => pair.Value), plan.Residuals, _copyMemory, steps.NextAttempt));
    }

    private void Evaluate(RankPlan plan, EvaluationRunner evaluation)
    {
        Pass(plan, "evaluate");
        if (evaluation.Run(_step, _assignment.Layout.Cadence.EvaluationMicroBatchCount) is var (lossSum, tokenCount))
            _links.Report(new HeldOutEvaluated(_assignment.Generation, _assignment.Rank, _step, lossSum, tokenCount));
    }

    private StepCompleted Completed(RankPlan plan, SettledStep settled)
    {
        var since = Stopwatch.GetTimestamp();
        IReadOnlyList<ParameterDigest> digests = plan.Speaks && _assignment.Recording.WantsDigest(settled.Step)
            ? [.. plan.Models.OrderBy(pair => pair.Key).SelectMany(pair => StateDigest.Of(pair.Value))]
            : [];
        var report = new StepCompleted(_assignment.Generation, _assignment.Rank, settled.Step, settled.Outcome,
            plan.OptimizerAt(settled.Step).LearningRateAt(settled.Step), settled.Timing, torch.Tensor.TotalCount, digests, settled.Spans, settled.Span);
        if (digests.Count > 0) _recorder.Exclude(since);
        return report;
    }

    private void Save(SaveCheckpoint save, RankPlan plan, CheckpointPart? part)
    {
        if (part is null) throw new InvalidOperationException("A checkpoint was asked for, but the stage has no store.");
        Pass(plan, "save");
        var since = Stopwatch.GetTimestamp();
        var (generation, rank) = (_assignment.Generation, _assignment.Rank);
        if (save.Step < _step)
        {
            _links.Report(new CheckpointPartFailed(generation, rank, save.Step, save.Attempt, $"Rank {rank} is at step {_step} already."));
        }
        else if (!plan.Speaks && plan.Residuals.IsEmpty)
        {
            // The first replica writes what all of them hold.
            _links.Report(new CheckpointPartWritten(generation, rank, save.Step, save.Attempt, []));
        }
        else
        {
            var own = plan.Speaks ? plan.Models : new Dictionary<int, StageModel>();
            part.Save(new SaveAttempt(save.Step, save.Attempt), own, new RankResiduals(plan.StateBesideStages(), rank, plan.Assignment.Layout.Ranks.Count),
                files => _links.Report(new CheckpointPartWritten(generation, rank, save.Step, save.Attempt, files)),
                fault => _links.Report(new CheckpointPartFailed(generation, rank, save.Step, save.Attempt, StageFailure.FirstLine(fault))));
        }

        _recorder.Exclude(since);
    }

    private void Fail(StageFailed failure)
    {
        _flight.Ends(failure.Message);
        _links.Report(failure);
    }
}
