using System.Diagnostics.CodeAnalysis;
using Pipeline.Protocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Stages;

/// <summary>
/// What the coordinator wants of a rank: how far it may go, and which saves wait for their step. Levels rise, whatever comes late or twice, but for one case: a
/// rank that is asked to hold forgets what it was granted before, and heeds grants from then on only that were made after all ranks had answered. Not thread-safe.
/// </summary>
internal sealed class StageOrders
{
    private readonly List<SaveCheckpoint> _saves = [];
    // The newest hold that the rank has heard of, by its own words or a grant's.
    private (Generation Generation, int Number) _hold;

    // The newest copy that is ordered, and the generation in which that was last said.
    private (long Step, Generation Generation) _copy;
    private long _copiedStep;
    // The last copy for which there was no place, and the generation whose order it had followed: a newer one's may find a place.
    private (long Step, Generation Generation) _placeless;

    /// <summary>The last granted step.</summary>
    internal long GrantedStep { get; private set; }

    /// <summary>Of the granted steps the last that is run whether there is room for what is kept or not.</summary>
    internal long AssuredStep { get; private set; }

    /// <summary>Nothing is granted beyond the state that the rank starts from.</summary>
    internal void StartAfter(long step) => GrantedStep = AssuredStep = step;

    /// <summary>Enters a grant. One that was made before the newest hold says nothing.</summary>
    /// <param name="grant">The grant.</param>
    /// <param name="begunStep">The last step that the rank has begun.</param>
    internal void Grant(GrantSteps grant, long begunStep)
    {
        if (!Heeds((grant.Generation, grant.Hold), begunStep)) return;
        GrantedStep = Math.Max(GrantedStep, grant.ThroughStep);
        AssuredStep = Math.Max(AssuredStep, grant.AssuredStep);
        if (grant.CopyStep > 0 && grant.CopyStep >= _copy.Step) _copy = (grant.CopyStep, grant.Generation);
        _saves.RemoveAll(save => save.Step > grant.ThroughStep && (save.Generation, save.Hold).CompareTo(_hold) < 0);
    }

    /// <summary>From now on no further step is begun than that which was; false if a newer hold, or a newer coordinator, was heard of before.</summary>
    /// <param name="hold">The request.</param>
    /// <param name="begunStep">The last step that the rank has begun.</param>
    internal bool Hold(HoldSteps hold, long begunStep) => Heeds((hold.Generation, hold.Number), begunStep);

    /// <summary>A later try of a save takes the place of those that were given up.</summary>
    internal void Add(SaveCheckpoint save)
    {
        if (_saves.Any(other => other.Step == save.Step && other.Attempt >= save.Attempt)) return;
        _saves.RemoveAll(other => other.Step == save.Step);
        _saves.Add(save);
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

    /// <summary>Whether a copy of the state after this step is asked for that was not taken yet; from now on it was.</summary>
    internal bool TryTakeCopy(long step)
    {
        if (step != _copy.Step || step == _copiedStep || (step == _placeless.Step && _copy.Generation <= _placeless.Generation)) return false;
        _copiedStep = step;
        return true;
    }

    /// <summary>
    /// There was no place for a copy of the state after a step, or there is none any more: where it is ordered, it is taken again once a newer generation says so. Not sooner,
    /// since nothing but a newer generation brings another place.
    /// </summary>
    internal void Uncopied(long step)
    {
        if (step != _copiedStep) return;
        (_copiedStep, _placeless) = (0, (step, step == _copy.Step ? _copy.Generation : Generation.None));
    }

    /// <summary>The state after a step is being copied.</summary>
    internal void Copied(long step) => _copiedStep = step;

    private bool Heeds((Generation Generation, int Number) hold, long begunStep)
    {
        var order = hold.CompareTo(_hold);
        if (order > 0) (_hold, GrantedStep, AssuredStep) = (hold, begunStep, begunStep);
        return order >= 0;
    }
}

/// <summary>What a rank does next between two steps.</summary>
internal enum StageOrderKind
{
    /// <summary>The next step.</summary>
    Step,

    /// <summary>A save that is due.</summary>
    Save,

    /// <summary>A copy of the state.</summary>
    Copy,

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
