using Pipeline.Protocol;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>
/// Runs a rank's list of actions, one step after the other: takes each action's input from the inbox, computes, sends the result on. A step
/// may begin before the outcome of the former one is known; if that is not what was assumed, it begins anew. On the compute thread only.
/// Between two steps it holds nothing that the model's state does not, once <see cref="Settle"/> has been called.
/// </summary>
internal sealed class StepRunner : IDisposable
{
    private readonly RankPlan _plan;
    private readonly StageInbox _inbox;
    private readonly StepRecorder _recorder;
    private readonly StepTrace _trace;
    private readonly StepLosses _losses;
    private readonly GradientReduction? _reduction;
    private readonly OuterExchange? _outer;
    private readonly GradientReducer? _reducer;
    private readonly WeightExchange? _weights;
    private readonly TotalsExchange _totals;
    private readonly StepEnd _end;
    private readonly StepSettlement _settlement;
    private readonly MicroBatchActions _actions;
    private StepKey _key;

    /// <param name="plan">The rank.</param>
    /// <param name="inbox">Where inputs arrive.</param>
    /// <param name="links">The ways out.</param>
    /// <param name="recorder">Measures.</param>
    /// <param name="trace">Traces.</param>
    /// <param name="settled">Told every step, in order, once its outcome is known and acted on.</param>
    internal StepRunner(RankPlan plan, StageInbox inbox, IStageLinks links, StepRecorder recorder, StepTrace trace, Action<SettledStep> settled)
    {
        _plan = plan;
        _inbox = inbox;
        (_recorder, _trace) = (recorder, trace);
        _losses = new StepLosses(plan.Schedule.MicroBatchCount);
        var totals = _totals = new TotalsExchange(plan, inbox, links, trace);
        if (plan.IsReducer) _reducer = new GradientReducer(plan, inbox, links, recorder);
        else if (plan.Place.Reduces && !plan.StepsLocally) _reduction = new GradientReduction(plan, inbox, links, recorder);
        if (plan is { StepsLocally: true, IsReducer: false }) _outer = new OuterExchange(plan, inbox, links, recorder);
        if (plan is { IsReducer: false, Owners: { } owners }) _weights = new WeightExchange(plan, owners, inbox, links, recorder);
        plan.Residuals.Settle();
        _end = new StepEnd(plan, inbox, links, recorder, _losses, totals, _reduction, _weights, _outer);
        _settlement = new StepSettlement(plan, inbox, totals, recorder, plan.ChooseBarrier(), settled);
        _actions = new MicroBatchActions(plan, new StepInputs(inbox, _settlement, SettleUnderway), links, recorder, _losses, _end.UnitsFinished, _end.GradientsComplete);
    }

    /// <summary>The action under way, for errors.</summary>
    internal StageAction? Current { get; private set; }

    /// <summary>Whether no step follows the last settled one.</summary>
    internal bool HasEnded => _settlement.HasEnded;

    /// <summary>The totals to be heard of while waiting for the next command; null if every step is settled.</summary>
    internal AwaitedTotals? Awaited => _settlement.Awaited;

    /// <inheritdoc cref="StepSettlement.NextAttempt"/>
    internal int NextAttempt => _settlement.NextAttempt;

    /// <summary>Runs one step, unless the one before it turns out to be the last.</summary>
    internal void Run(long step)
    {
        while (!HasEnded && !TryRun(step))
        {
        }
    }

    /// <summary>
    /// Waits for the outcome of a step that was taken ahead, so that master weights and moments are those after the last step: before the
    /// state is evaluated, copied, saved or reported.
    /// </summary>
    internal void Settle() => _ = _settlement.Settle();

    /// <inheritdoc/>
    public void Dispose()
    {
        _trace.Abandon();
        _actions.Dispose();
        _reduction?.Dispose();
        _outer?.Dispose();
        _reducer?.Dispose();
        _weights?.Dispose();
    }

    /// <summary>A reducer knows of a step what it adds up and what the step comes to. Steps of the replicas' own come to something before these meet, and those that come to nothing end in no meeting.</summary>
    private bool AddUp(GradientReducer reducer)
    {
        _trace.Began(StageAction.StepLevel(_plan.Schedule.StagesOf(_plan.Rank)[0], ActionKind.ReduceScatter));
        var known = _plan.StepsLocally ? _totals.Take(_key).Outcome : null;
        if (known is null || (known.Verdict == StepVerdict.Apply && _plan.MeetsAfter(_key.Step))) reducer.Run(_key);
        _trace.Ended();
        _settlement.Finish(_key, known ?? _totals.Take(_key).Outcome, 0, _recorder.EndStep(), _recorder.Spans(), _trace.End());
        return true;
    }

    private bool TryRun(long step)
    {
        Begin(step);
        if (_reducer is { } reducer) return AddUp(reducer);
        try
        {
            foreach (var action in _plan.Schedule.Actions[_plan.Rank])
            {
                _inbox.ThrowIfClosed();
                Current = action;
                _recorder.Began(action, step);
                _trace.Began(action);
                if (_settlement.Awaited is { } awaited && (action.Kind.IsStepLevel() || _inbox.HasTotals(awaited))) SettleUnderway();
                _plan.Workload.Probe?.Invoke(new StagePoint(action.Kind.Term(), _plan.Rank, step, _plan.Assignment.Generation));
                Run(action);
                _trace.Ended();
            }
        }
        catch (VoidStepException)
        {
            _actions.Begin(default, isGradientFree: false);
            return false;
        }
        catch (Exception fault) when (!_settlement.IsSettled && fault is not (StageClosedException or OutOfMemoryException))
        {
            // What throws on weights that are taken back did not happen.
            if (_settlement.Settle()) throw;
            _actions.Begin(default, isGradientFree: false);
            return false;
        }

        Current = null;
        _actions.Finish();
        _settlement.Finish(_key, _end.Outcome, _actions.TokenCount, _recorder.EndStep(), _recorder.Spans(), _trace.End());
        return true;
    }

    private void Begin(long step)
    {
        _key = _plan.KeyOf(step, _settlement.NextAttempt);
        _trace.Begin(_plan.Assignment.Rank, _key);
        // Others may have begun the step on the assumption that this rank knows to be wrong.
        if (_key.Attempt > 0) _inbox.Abandon(_key with { Attempt = 0 });
        _losses.Begin();
        _end.Begin(_key, _settlement.WaitsForNorm);
        _actions.Begin(_key, _settlement.IsSettled);
    }

    private void Run(StageAction action)
    {
        switch (action.Kind)
        {
            case ActionKind.ReduceScatter:
                _end.Reduce(action);
                break;
            case ActionKind.AllGather:
                _end.Gather(action);
                break;
            case ActionKind.TiedSum:
                _end.SumTies(action);
                break;
            case ActionKind.Norm:
                _end.SendSquares(action.Stage);
                break;
            case ActionKind.Optimizer:
                _end.Apply(action, _actions.TokenCount);
                break;
            case ActionKind.WeightGather:
                _end.GatherWeights(action);
                break;
            default:
                _actions.Run(action);
                break;
        }
    }

    private void SettleUnderway()
    {
        if (!_settlement.Settle()) throw new VoidStepException();
        _actions.FreeGradient();
    }

    /// <summary>The weights that a step was begun with were taken back: it begins anew, or never.</summary>
    private sealed class VoidStepException() : Exception("The step was begun with weights that were taken back.");
}
