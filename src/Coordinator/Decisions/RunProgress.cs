using Pipeline.Protocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>
/// How far a run is: steps committed and granted, evaluations that are awaited, whether it is to stop. No actor, no message: it says
/// what follows, the coordinator does it.
/// </summary>
internal sealed class RunProgress
{
    private readonly StepLedger _ledger;
    private readonly SortedSet<long> _openEvaluations = [];
    private readonly HashSet<long> _knownEvaluations = [];
    private readonly long _evaluatedThrough;
    private readonly StepPace _pace;
    private RunPlan _asked;
    private RunPlan _plan;
    private bool _isLastStepCommitted;
    private long _boundary;

    /// <param name="plan">The run.</param>
    /// <param name="rankCount">Ranks, at first.</param>
    /// <param name="committed">The last step that is committed already: that of the start, or of a former coordinator.</param>
    /// <param name="evaluatedThrough">Evaluations after steps through this one are known already.</param>
    internal RunProgress(RunPlan plan, int rankCount, long committed, long evaluatedThrough)
    {
        _asked = _plan = plan;
        _ledger = new StepLedger(rankCount, committed);
        _pace = new StepPace(plan.WindowSpan, plan.MostStepsAhead);
        _evaluatedThrough = evaluatedThrough;
        Granted = committed;
        for (var step = evaluatedThrough + 1; step <= committed; step++) Await(step);
    }

    /// <summary>The plan as it is asked for now.</summary>
    internal RunPlan Plan => _asked;

    /// <summary>Last committed step.</summary>
    internal long Committed => _ledger.Committed;

    /// <inheritdoc cref="StepLedger.ReportedThrough"/>
    internal long ReportedThrough => _ledger.ReportedThrough;

    /// <summary>Last step handed out.</summary>
    internal long Granted { get; private set; }

    /// <summary>The last step that ranks run in any case; beyond it, up to <see cref="Granted"/>, they go only while what they keep has room.</summary>
    internal long Assured => Math.Min(Granted, Math.Max(Committed + _plan.StepsAhead, _boundary));

    /// <summary>The step after which the run ends, as is known so far.</summary>
    internal long EndStep => _plan.EndStep;

    /// <summary>The last step of which, and of all before it, nothing is awaited from an evaluation.</summary>
    internal long EvaluatedThrough => _openEvaluations.Count > 0 ? _openEvaluations.Min - 1 : Math.Min(Granted, Committed);

    /// <summary>Whether somebody has asked for an end after the step under way.</summary>
    internal bool IsStopWanted { get; private set; }

    /// <summary>Whether nothing further is handed out for the time being.</summary>
    internal bool IsPaused { get; set; }

    /// <summary>No window reaches beyond this step while something is being prepared for its end.</summary>
    internal long Limit { get; set; } = long.MaxValue;

    /// <summary>Whether all is done but what the checkpoints still need.</summary>
    internal bool IsDone => Committed == EndStep && _openEvaluations.Count == 0;

    /// <summary>Whether the last step is committed.</summary>
    internal bool IsAtEnd => Committed == EndStep;

    /// <summary>Whether no evaluation is awaited.</summary>
    internal bool IsEvaluated => _openEvaluations.Count == 0;

    /// <summary>What a step takes, by the median of the newest; 0 before the first.</summary>
    internal double MedianSeconds => _pace.Median;

    /// <summary>How the run ends, if it ends now.</summary>
    internal RunOutcome Outcome => new(IsStopWanted && EndStep < _asked.EndStep ? RunEnd.Stopped : RunEnd.Completed, EndStep);

    /// <summary>Whether every save at an interval or the end has a checkpoint after its step.</summary>
    internal bool Saves => _plan.Saves;

    /// <summary>The last step that a rank is known to have completed in this run.</summary>
    internal long CompletedBy(int rank) => _ledger.CompletedBy(rank);

    /// <summary>The ranks that have not reported the next step.</summary>
    internal IReadOnlyList<int> Missing => _ledger.Missing;

    /// <inheritdoc cref="StepLedger.Enter"/>
    internal IReadOnlyList<IReadOnlyList<StepCompleted>> Enter(StepCompleted report) => Noted(_ledger.Enter(report));

    /// <inheritdoc cref="StepLedger.Vouch"/>
    internal IReadOnlyList<IReadOnlyList<StepCompleted>> Vouch(int rank, long step) => Noted(_ledger.Vouch(rank, step));

    /// <summary>Evaluations after steps before this one will not be run again: what was not heard of them is lost.</summary>
    /// <returns>The steps whose evaluations were awaited.</returns>
    internal IReadOnlyList<long> GiveUpEvaluations(long beforeStep)
    {
        long[] lost = [.. _openEvaluations.TakeWhile(step => step < beforeStep)];
        _openEvaluations.ExceptWith(lost);
        return lost;
    }

    /// <summary>Whether the evaluation after a step belongs to the run and is not known.</summary>
    internal bool Evaluates(long step) => _openEvaluations.Contains(step);

    private IReadOnlyList<IReadOnlyList<StepCompleted>> Noted(IReadOnlyList<IReadOnlyList<StepCompleted>> committed)
    {
        foreach (var reports in committed)
        {
            _isLastStepCommitted |= reports[0].Totals.IsLast;
            _pace.Enter(reports.Max(one => one.Timing.Seconds));
        }

        return committed;
    }

    /// <summary>Enters the result of an evaluation; false if it is known already.</summary>
    internal bool Enter(HeldOutEvaluated evaluated) =>
        _openEvaluations.Remove(evaluated.AfterStep) && _knownEvaluations.Add(evaluated.AfterStep);

    /// <summary>What to hand out next.</summary>
    internal IReadOnlyList<StageDirective> Next()
    {
        if (IsStopWanted) return SettleEnd();
        if (IsPaused) return [];
        var directives = WindowPlan.Next(_plan, Granted, Math.Min(Limit, Committed + Math.Max(_plan.StepsAhead, _pace.StepsAhead)));
        foreach (var grant in directives.OfType<StageDirective.Grant>()) Hand(grant);
        return directives;
    }

    /// <summary>
    /// What was handed out beyond a step that no rank is past is taken back, with the evaluations that were awaited after it. What is committed stays handed out. A former
    /// coordinator may have handed out more than was known.
    /// </summary>
    /// <param name="begunStep">The last step that any rank has begun.</param>
    internal void Stand(long begunStep)
    {
        _boundary = Math.Max(Math.Min(begunStep, EndStep), Math.Min(Granted, Committed));
        if (_boundary > Granted) Hand(new StageDirective.Grant(Granted + 1, _boundary));
        Granted = _boundary;
        _openEvaluations.RemoveWhere(after => after > Granted);
    }

    /// <summary>A setting has another value from a step on that is not handed out yet.</summary>
    internal void Change(SettingChange change) => (_asked, _plan) = (_asked.With(change), _plan.With(change));

    /// <summary>Notes a request to stop; false if it was made before.</summary>
    internal bool WantStop() => !IsStopWanted && (IsStopWanted = true);

    /// <summary>Takes over what a former coordinator had handed out.</summary>
    internal void Adopt(long granted, IReadOnlyList<long> completedSteps)
    {
        if (granted > Granted) Hand(new StageDirective.Grant(Granted + 1, Math.Min(granted, EndStep)));
        for (var rank = 0; rank < completedSteps.Count; rank++) _ledger.Completed(rank, completedSteps[rank]);
    }

    /// <summary>
    /// All ranks start anew from an earlier step. What was committed stays so; a run that is to stop ends with the last committed step,
    /// since the stages no longer know which step they made the last.
    /// </summary>
    /// <param name="step">The step.</param>
    /// <param name="rankCount">Ranks from now on.</param>
    internal void RestartFrom(long step, int rankCount)
    {
        _ledger.RestartFrom(step, rankCount);
        Granted = step;
        Limit = long.MaxValue;
        _openEvaluations.RemoveWhere(after => after > Committed);
        _knownEvaluations.RemoveWhere(after => after > Committed);
        if (IsStopWanted) _plan = _plan with { EndStep = Math.Max(Committed, step) };
    }

    /// <inheritdoc cref="StepLedger.Unlearn"/>
    internal void Unlearn() => _ledger.Unlearn();

    /// <inheritdoc cref="StepLedger.Resize"/>
    internal void Resize(int rankCount, long step, bool isSameOrder) => _ledger.Resize(rankCount, step, isSameOrder);

    /// <summary>Steps that no rank will run again need not be remembered.</summary>
    internal void Forget(long throughStep) => _ledger.Forget(throughStep);

    private StageDirective.Grant Hand(StageDirective.Grant grant)
    {
        Granted = grant.ThroughStep;
        for (var step = grant.FromStep; step <= grant.ThroughStep; step++) Await(step);
        return grant;
    }

    private void Await(long step)
    {
        if (_plan.EvaluatesAfter(step) && step > _evaluatedThrough && !_knownEvaluations.Contains(step)) _openEvaluations.Add(step);
    }

    /// <summary>
    /// After a request to stop: the run ends with the step that the stages made the last, or, if they were through with all that was
    /// granted, with that. What was handed out beyond it they pass over.
    /// </summary>
    private IReadOnlyList<StageDirective> SettleEnd()
    {
        if (Granted < Committed) return [Hand(new StageDirective.Grant(Granted + 1, Committed))];
        var isSettled = _isLastStepCommitted || Committed == Granted;
        if (!isSettled) return [];
        Granted = Committed;
        _plan = _plan with { EndStep = Granted };
        _openEvaluations.RemoveWhere(step => step > Granted);
        return [];
    }
}
