namespace Pipeline.Operator;

/// <summary>From when on the watchdog speaks.</summary>
/// <param name="LossSpike">A loss above the median of the newest steps by more than so many times their spread.</param>
/// <param name="StallSeconds">No step for so long, or for ten median steps if that is longer.</param>
/// <param name="SlowdownFactor">A step takes so many times as long as it used to.</param>
/// <param name="LeastFreeBytes">Free space under the run directory.</param>
/// <param name="Webhook">Told in JSON by POST; null for nobody.</param>
public sealed record WatchdogSettings(double LossSpike, double StallSeconds, double SlowdownFactor, long LeastFreeBytes, Uri? Webhook);
