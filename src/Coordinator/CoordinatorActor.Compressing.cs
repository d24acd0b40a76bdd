using Akka.Actor;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>Whether replicas go on compressing what they exchange: found out by a trial, recorded like a setting that an operator changes.</summary>
public sealed partial class CoordinatorActor
{
    private readonly CompressionWatch? _compression;

    private bool IsTrialDecided => _progress.Plan.Changes.Any(change => change.Setting == SettingKind.Compression);

    private void ConsiderCompression()
    {
        if (_compression is null || IsTrialDecided || _move is not null || !_hasBegun || _progress.IsStopWanted || _compression.Decide() is not { } decision) return;
        _observer.Tell(new RunNotice.Warned("compression", _progress.Committed, decision.Message));
        // Also where it stays: a run that is resumed goes by what was decided.
        Plan(new PlannedMove(ActorRefs.Nobody) { Change = new ChangeSetting(SettingKind.Compression, decision.IsKept ? 1 : 0) });
    }
}
