using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>What is known when ranks are lost. A value.</summary>
/// <param name="LostRanks">Ranks whose state is gone.</param>
/// <param name="RankCount">All ranks.</param>
/// <param name="Copies">Where copies lie, without those that were lost.</param>
/// <param name="ProtectedStep">What the ranks that stay have kept reaches back to the end of this step: all of it, also that of a rank that was itself replaced.</param>
/// <param name="Base">The state that the ranks' present units began from.</param>
/// <param name="IsBaseWhole">Whether that state is still to be had: the seed is, the newest checkpoint, copies while their holders live.</param>
/// <param name="CheckpointStep">Step of the newest checkpoint; the start's for a run without any.</param>
/// <param name="ReportedStep">Every step through this one is reported or will be, by a rank that stays: what all have left behind them unreported could never be committed.</param>
/// <param name="ReachedStep">A step that every rank which is left has certainly completed: none of them needs anything of it any more.</param>
internal sealed record LossReport(
    IReadOnlyList<int> LostRanks,
    int RankCount,
    CopyLedger Copies,
    long ProtectedStep,
    StartingPoint Base,
    bool IsBaseWhole,
    long CheckpointStep,
    long ReportedStep = long.MaxValue,
    long ReachedStep = long.MaxValue);

/// <summary>How a run goes on after a loss. Pure: <see cref="For"/> decides, the coordinator carries it out.</summary>
internal abstract record RecoveryPlan
{
    /// <summary>Nobody has lost anything but messages: all ranks say again what others may lack.</summary>
    internal sealed record Repeat : RecoveryPlan;

    /// <summary>The lost ranks alone run again, each from its own state, all after the same step, since they feed each other; fed by what the others have kept.</summary>
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
        if (CommonStep(loss) is { } step) return new Replay(loss.LostRanks.ToDictionary(rank => rank, rank => new ReplayStart(step, IsBase: false, loss.Copies.HolderOf(rank, step)!.Value)));
        return loss.IsBaseWhole && loss.ProtectedStep == loss.Base.Step
            ? new Replay(loss.LostRanks.ToDictionary(rank => rank, _ => new ReplayStart(loss.Base.Step, IsBase: true, default)))
            : new Restart(loss.CheckpointStep);
    }

    /// <summary>
    /// The newest step of which every lost rank has a copy, to which kept messages reach back and which the others have completed. One step for
    /// all, since what a lost rank had sent before its start nobody can send again: neither to another lost rank that starts earlier, nor to one
    /// that is left and still lacks it.
    /// </summary>
    private static long? CommonStep(LossReport loss) => loss.LostRanks
        .Select(loss.Copies.StepsOf).Aggregate((one, other) => one.Intersect(other).ToHashSet())
        .Where(step => step >= loss.Base.Step && step >= loss.ProtectedStep && step <= loss.ReportedStep && step <= Math.Max(loss.ReachedStep, loss.ProtectedStep))
        .Select(step => (long?)step).Max();
}
