using System.Diagnostics.CodeAnalysis;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Stages;

/// <summary>What the coordinator wants of a rank: how far it may go, and which saves wait for their step. Not thread-safe.</summary>
internal sealed class StageOrders
{
    private readonly List<SaveCheckpoint> _saves = [];

    /// <summary>The last granted step.</summary>
    internal long GrantedStep { get; private set; }

    /// <summary>Grants never fall: an earlier one that comes late says nothing.</summary>
    internal void Grant(long throughStep) => GrantedStep = Math.Max(GrantedStep, throughStep);

    internal void Add(SaveCheckpoint save)
    {
        if (!_saves.Any(other => (other.Step, other.Attempt) == (save.Step, save.Attempt))) _saves.Add(save);
    }

    /// <summary>A save of this step, or of an earlier one, which has come too late.</summary>
    internal bool TryTakeSave(long step, [NotNullWhen(true)] out SaveCheckpoint? save)
    {
        save = _saves.Find(waiting => waiting.Step <= step);
        if (save is not null) _saves.Remove(save);
        return save is not null;
    }
}
