using Akka.Actor;
using Pipeline.Protocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>
/// Steps that are not finite. The ranks apply none of them and go on; <see cref="NonFiniteWatch"/> says when that is too many, and then all
/// go back to a checkpoint, or the run ends.
/// </summary>
public sealed partial class CoordinatorActor
{
    private readonly NonFiniteWatch _nonFinite;
    private readonly Dictionary<long, StepOutcome> _unjudged = [];

    /// <summary>
    /// Whether what was reported may be committed. The first rank that speaks of a step is enough: the totals are the same for all. Steps are judged in their order,
    /// also where one is heard of before the one before it.
    /// </summary>
    private bool IsBearable(StepCompleted report)
    {
        if (report.Step > _nonFinite.Last) _unjudged.TryAdd(report.Step, report.Totals);
        while (_unjudged.Count > 0 && _unjudged.Keys.Min() is var next && IsNext(next) && _unjudged.Remove(next, out var totals))
        {
            if (!Bears(next, totals)) return false;
        }

        return true;
    }

    // Of a step that is committed and run again nobody need speak again.
    private bool IsNext(long step) => step == _nonFinite.Last + 1 || step - 1 <= _progress.Committed;

    private bool Bears(long step, StepOutcome totals)
    {
        var fault = NonFiniteStep.Of(step, totals);
        var verdict = _nonFinite.Read(step, fault);
        if (fault is null)
        {
            if (verdict == NonFiniteVerdict.Revised)
                Warn("step-revised", step, $"Step {step} was passed over when it was first run and was applied now: its line in metrics.jsonl tells of the first time. Look at the memory and the disks of the nodes.");
            return true;
        }

        if (verdict == NonFiniteVerdict.Skipped) Warn("non-finite", step, $"{fault.Sentence}; the step was passed over and changed nothing.");
        if (verdict == NonFiniteVerdict.RollBack) RollBack(fault);
        if (verdict == NonFiniteVerdict.End) EndFor(fault);
        return verdict is NonFiniteVerdict.Skipped or NonFiniteVerdict.GoOn;
    }

    private void EndFor(NonFiniteStep fault)
    {
        // A checkpoint after a step that is not committed would be resumed from.
        _saving.Abandon();
        End(Failed(_nonFinite.Ending(fault)));
    }

    /// <summary>
    /// As a new division of the same units: if the failure was a machine's, what comes again has other bits, and nothing that was sent before
    /// may be taken for it.
    /// </summary>
    private void RollBack(NonFiniteStep fault)
    {
        var target = _nonFinite.Target(_saving.Kept);
        // Before it is written down that all go back: a successor takes the newest checkpoint for one of the run's own past.
        _lastDecision = Task.WhenAll(_lastDecision, _saving.RollBack(target));
        _progress.Unlearn();
        GiveUpEvaluations(target);
        foreach (var step in _awaitedSaves.Select(awaited => awaited.Step).Where(step => step > target).Distinct().ToArray())
            AnswerSaves(step, false, $"The run goes back to step {target}, since a later one was not finite. The state after step {step} is not saved.");
        if (!Spread(_ranks.Division, StartingPoint.Checkpoint(target) with { Evaluates = _progress.Evaluates(target) })) return;
        _observer.Tell(new RunNotice.RolledBack(_ranks.Generation, target, $"{fault.Sentence}, and no further step may be passed over in a row: all go back to the end of step {target} and try again."));
    }

    private void Warn(string kind, long step, string sentence) => _observer.Tell(new RunNotice.Warned(kind, step, sentence));
}
