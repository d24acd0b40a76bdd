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

    /// <summary>Whether a step may be committed. The first rank that speaks of it is enough: the totals are the same for all.</summary>
    private bool IsBearable(StepCompleted report)
    {
        var fault = NonFiniteStep.Of(report.Step, report.Totals);
        var verdict = _nonFinite.Read(report.Step, fault);
        if (fault is null)
        {
            if (verdict == NonFiniteVerdict.Revised)
                Warn("step-revised", report.Step, $"Step {report.Step} was passed over when it was first run and was applied now: its line in metrics.jsonl tells of the first time. Look at the memory and the disks of the nodes.");
            return true;
        }

        if (verdict == NonFiniteVerdict.Skipped) Warn("non-finite", report.Step, $"{fault.Sentence}; the step was passed over and changed nothing.");
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
        _progress.GiveUpEvaluations(target);
        if (!Spread(_ranks.Division, StartingPoint.Checkpoint(target) with { Evaluates = _progress.Evaluates(target) })) return;
        _observer.Tell(new RunNotice.RolledBack(_ranks.Generation, target, $"{fault.Sentence}, and no further step may be passed over in a row: all go back to the end of step {target} and try again."));
    }

    private void Warn(string kind, long step, string sentence) => _observer.Tell(new RunNotice.Warned(kind, step, sentence));
}
