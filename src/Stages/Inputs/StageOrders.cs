using System.Diagnostics.CodeAnalysis;
using Pipeline.Protocol;
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

    /// <summary>Whether a save waits for this step, or for an earlier one.</summary>
    internal bool HasSave(long step) => _saves.Any(waiting => waiting.Step <= step);

    /// <summary>A save of this step, or of an earlier one, which has come too late.</summary>
    internal bool TryTakeSave(long step, [NotNullWhen(true)] out SaveCheckpoint? save)
    {
        save = _saves.Find(waiting => waiting.Step <= step);
        if (save is not null) _saves.Remove(save);
        return save is not null;
    }
}

/// <summary>What a rank does next between two steps.</summary>
internal enum StageOrderKind
{
    /// <summary>The next step.</summary>
    Step,

    /// <summary>A save that is due.</summary>
    Save,

    /// <summary>Settle the last step: its totals are here, and nothing else is to be done.</summary>
    Settle,
}

/// <summary>What a rank does next between two steps.</summary>
/// <param name="Kind">What.</param>
/// <param name="Save">The save.</param>
internal readonly record struct StageOrder(StageOrderKind Kind, SaveCheckpoint? Save = null);

/// <summary>The totals of a step that a compute thread is to hear of while it waits for something else.</summary>
/// <param name="Step">Step.</param>
/// <param name="StageCount">On the rank that makes the totals the number of contributions; null where another rank sends them.</param>
internal readonly record struct AwaitedTotals(StepKey Step, int? StageCount);
