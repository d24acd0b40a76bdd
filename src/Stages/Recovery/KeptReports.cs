using Pipeline.Protocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Stages;

/// <summary>
/// What a rank has reported and the coordinator has not yet recorded for good: said again to a new coordinator, or when a report may
/// have been lost. Reports of checkpoint parts are not kept: a save that is not heard of is tried anew. Not thread-safe.
/// </summary>
internal sealed class KeptReports
{
    private readonly List<IEvent> _reports = [];

    /// <summary>Everything that is to be said again, in its order.</summary>
    internal IReadOnlyList<IEvent> All => [.. _reports];

    internal void Add(IEvent report)
    {
        switch (report)
        {
            case StageReady:
                _reports.RemoveAll(former => former is StageReady);
                _reports.Add(report);
                break;
            case StepCompleted or HeldOutEvaluated or CopyStored or StageFailed { Kind: not StageFailureKind.CopyMissing }:
                _reports.Add(report);
                break;
        }
    }

    /// <summary>Forgets what a grant acknowledges.</summary>
    internal void Forget(GrantSteps grant) => _reports.RemoveAll(report => report switch
    {
        StepCompleted completed => completed.Step <= grant.RecordedStep,
        HeldOutEvaluated evaluated => evaluated.AfterStep <= grant.RecordedEvaluation,
        CopyStored stored => stored.Step < grant.ProtectedStep,
        _ => false,
    });
}
