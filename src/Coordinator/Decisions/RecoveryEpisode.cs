namespace Pipeline.Coordinator;

/// <summary>How long one recovery takes, split into its parts.</summary>
/// <param name="reason">Why.</param>
/// <param name="plan">How.</param>
/// <param name="clock">Measures.</param>
internal sealed class RecoveryEpisode(string reason, RecoveryPlan plan, TimeProvider clock)
{
    private readonly long _started = clock.GetTimestamp();
    private long _placed;
    private long _loaded;

    internal string Reason => reason;

    internal RecoveryPlan Plan => plan;

    /// <summary>Whether every rank has its state.</summary>
    internal bool IsLoaded => _loaded > 0;

    /// <summary>From the suspicion to the first message: deciding and writing it down.</summary>
    internal TimeSpan Placement => clock.GetElapsedTime(_started, _placed);

    /// <summary>Until every rank has its state.</summary>
    internal TimeSpan Loading => clock.GetElapsedTime(_placed, _loaded);

    internal void Placed(TimeProvider now) => _placed = now.GetTimestamp();

    internal void Loaded(TimeProvider now) => _loaded = now.GetTimestamp();

    /// <summary>From then on: running again what was lost, up to the next committed step.</summary>
    internal TimeSpan SinceLoaded(TimeProvider now) => now.GetElapsedTime(_loaded);
}
