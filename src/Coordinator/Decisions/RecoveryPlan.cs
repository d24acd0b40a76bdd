using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>What is known when ranks are lost. A value.</summary>
/// <param name="LostRanks">Ranks whose state is gone.</param>
/// <param name="RankCount">All ranks.</param>
/// <param name="Copies">Where copies lie, without those that were lost.</param>
/// <param name="ProtectedStep">Kept messages reach back to the end of this step.</param>
/// <param name="Base">The state that the ranks' present units began from.</param>
/// <param name="IsBaseWhole">Whether that state is still to be had: seed and checkpoints are, copies while their holders live.</param>
/// <param name="CheckpointStep">Step of the newest checkpoint; the start's for a run without any.</param>
internal sealed record LossReport(
    IReadOnlyList<int> LostRanks,
    int RankCount,
    CopyLedger Copies,
    long ProtectedStep,
    StartingPoint Base,
    bool IsBaseWhole,
    long CheckpointStep);

/// <summary>How a run goes on after a loss. Pure: <see cref="For"/> decides, the coordinator carries it out.</summary>
internal abstract record RecoveryPlan
{
    /// <summary>Nobody has lost anything but messages: all ranks say again what others may lack.</summary>
    internal sealed record Repeat : RecoveryPlan;

    /// <summary>The lost ranks alone run again, each from its own state, fed by what the others have kept.</summary>
    /// <param name="Starts">Rank → step and holder of its copy; no holder: the base, or the protection's folder.</param>
    internal sealed record Replay(IReadOnlyDictionary<int, ReplayStart> Starts) : RecoveryPlan;

    /// <summary>All ranks run again from a checkpoint, or from the initial weights for step 0.</summary>
    internal sealed record Restart(long Step) : RecoveryPlan;

    /// <summary>Where one rank starts.</summary>
    /// <param name="Step">Step of its state.</param>
    /// <param name="IsBase">Whether it is the state that all began from rather than a copy.</param>
    /// <param name="Holder">Who has the copy.</param>
    internal sealed record ReplayStart(long Step, bool IsBase, NodeId Holder);

    /// <summary>Decides.</summary>
    internal static RecoveryPlan For(LossReport loss)
    {
        if (loss.LostRanks.Count == 0) return new Repeat();
        Dictionary<int, ReplayStart> starts = [];
        foreach (var rank in loss.LostRanks)
        {
            if (Start(loss, rank) is not { } start) return new Restart(loss.CheckpointStep);
            starts.Add(rank, start);
        }

        return new Replay(starts);
    }

    /// <summary>The newest copy, or the state from which the ranks began while their neighbours' kept messages still reach back to it.</summary>
    private static ReplayStart? Start(LossReport loss, int rank)
    {
        if (loss.Copies.Newest(rank) is var (step, holder) && step > loss.Base.Step && step >= loss.ProtectedStep) return new ReplayStart(step, IsBase: false, holder);
        return loss.IsBaseWhole && loss.ProtectedStep == loss.Base.Step ? new ReplayStart(loss.Base.Step, IsBase: true, default) : null;
    }
}
