using System.Diagnostics;
using Pipeline.Checkpoints;
using Pipeline.Model.Numerics;
using Pipeline.Protocol;
using TorchSharp;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Stages;

/// <summary>
/// One rank's compute thread: the only caller of the model. It builds its stages, then carries out the coordinator's commands in order,
/// granted steps one after the other with nobody asked in between, until it is told to stop or fails. Everything that it owns is freed
/// on the same thread before <see cref="Ended"/>.
/// </summary>
internal sealed class StageExecutor
{
    private readonly AssignStage _assignment;
    private readonly IStageWorkloadFactory _factory;
    private readonly IStageLinks _links;
    private readonly StageInbox _inbox;
    private readonly StepRecorder _recorder = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _step;
    private bool _isEnded;

    internal StageExecutor(AssignStage assignment, IStageWorkloadFactory factory, IStageLinks links, StageInbox inbox)
    {
        _assignment = assignment;
        _factory = factory;
        _links = links;
        _inbox = inbox;
        _step = assignment.CheckpointStep;
    }

    /// <summary>Completes when the thread has freed everything.</summary>
    internal Task Ended => _ended.Task;

    /// <summary>Starts the thread.</summary>
    internal void Start()
    {
        ComputeThreads.Register(this);
        new Thread(Run) { IsBackground = true, Name = $"stage-{_assignment.Rank}" }.Start();
    }

    /// <summary>Asks the thread to end at the end of the action under way. Does not wait.</summary>
    internal void RequestStop() => _inbox.Close();

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
            var plan = RankPlan.Build(_assignment, workload);
            var parameterCount = plan.Models.Values.SelectMany(model => model.State()).Where(tensor => !tensor.IsMoment).Sum(tensor => tensor.Tensor.numel());
            _links.Report(new StageReady(_assignment.Generation, _assignment.Rank, parameterCount));
            return plan;
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            Fail(StageFailure.WhilePreparing(_assignment, fault));
            return null;
        }
    }

    private void Work(RankPlan plan)
    {
        using var steps = new StepRunner(plan, _inbox, _links, _recorder, settled => OnSettled(plan, settled));
        var evaluation = new EvaluationRunner(plan, _inbox, _links);
        using var part = plan.Workload.Checkpoints is { } store ? new CheckpointPart(store, plan.StageCount) : null;
        try
        {
            while (Execute(Next(steps), plan, steps, evaluation, part))
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

    /// <summary>The next command; while there is none, an open step is settled.</summary>
    private ICommand Next(StepRunner steps)
    {
        while (true)
        {
            if (_inbox.TakeCommand(steps.Awaited) is { } command) return command;
            Settle(steps);
        }
    }

    private void Settle(StepRunner steps)
    {
        steps.Settle();
        _isEnded = steps.HasEnded;
    }

    /// <summary>Carries out one command; false once the rank takes no further one.</summary>
    private bool Execute(ICommand command, RankPlan plan, StepRunner steps, EvaluationRunner evaluation, CheckpointPart? part)
    {
        if (command is GrantSteps grant) return _isEnded ? !steps.IsRefused : RunSteps(grant, steps);
        Settle(steps);
        if (steps.IsRefused) return false;
        var since = Stopwatch.GetTimestamp();
        switch (command)
        {
            case EvaluateHeldOut wanted when wanted.AfterStep > _step:
            case SaveCheckpoint save when save.Step > _step:
                // What was to come after the step that became the last by request.
                break;
            case EvaluateHeldOut wanted:
                if (evaluation.Run(wanted.AfterStep, wanted.MicroBatchCount) is var (lossSum, tokenCount))
                    _links.Report(new HeldOutEvaluated(_assignment.Generation, _assignment.Rank, wanted.AfterStep, lossSum, tokenCount));
                break;
            case SaveCheckpoint save:
                Save(save, plan, part);
                break;
            default:
                throw new UnreachableException($"command {command.GetType().Name}");
        }

        _recorder.Exclude(since);
        return true;
    }

    private bool RunSteps(GrantSteps grant, StepRunner steps)
    {
        if (grant.FromStep != _step + 1) throw new InvalidOperationException($"Steps {grant.FromStep} to {grant.ThroughStep} were granted after step {_step}.");
        if (_step == _assignment.CheckpointStep) _recorder.Restart();
        while (_step < grant.ThroughStep && !_isEnded)
        {
            _step++;
            _recorder.BeginStep(_assignment.Recording.WantsSpans(_step));
            steps.Run(_step);
            _isEnded = steps.HasEnded;
        }

        return !steps.IsRefused;
    }

    /// <summary>Reports a step, or its refusal: one rank speaks for all then; the others are told to stop by the coordinator.</summary>
    private void OnSettled(RankPlan plan, SettledStep settled)
    {
        // A step that was begun after the last one never was.
        if (settled.Outcome.IsLast) _step = settled.Step;
        if (settled.Outcome.Verdict == StepVerdict.Apply) _links.Report(Completed(plan, settled));
        else if (plan.MakesTotals) Fail(StageFailure.NonFinite(_assignment, settled.Step, settled.Outcome, plan.StageCount));
    }

    private StepCompleted Completed(RankPlan plan, SettledStep settled)
    {
        var since = Stopwatch.GetTimestamp();
        IReadOnlyList<ParameterDigest> digests = _assignment.Recording.WantsDigest(settled.Step)
            ? [.. plan.Models.OrderBy(pair => pair.Key).SelectMany(pair => StateDigest.Of(pair.Value))]
            : [];
        var report = new StepCompleted(_assignment.Generation, _assignment.Rank, settled.Step, settled.Outcome,
            plan.Workload.Optimizer.LearningRateAt(settled.Step), settled.Timing, torch.Tensor.TotalCount, digests, settled.Spans);
        if (digests.Count > 0) _recorder.Exclude(since);
        return report;
    }

    private void Save(SaveCheckpoint save, RankPlan plan, CheckpointPart? part)
    {
        if (part is null) throw new InvalidOperationException("A checkpoint was asked for, but the stage has no store.");
        var (generation, rank) = (_assignment.Generation, _assignment.Rank);
        part.Save(new SaveAttempt(save.Step, save.Attempt), plan.Models,
            files => _links.Report(new CheckpointPartWritten(generation, rank, save.Step, save.Attempt, files)),
            fault => _links.Report(new CheckpointPartFailed(generation, rank, save.Step, save.Attempt, StageFailure.FirstLine(fault))));
    }

    private void Fail(StageFailed failure) => _links.Report(failure);
}
