namespace Pipeline.Protocol.Links;

/// <summary>Pauses between attempts: none at first, then a hundredth of the longest, then twice as long each time.</summary>
internal sealed class BackOff(TimeSpan longest)
{
    private TimeSpan _next = TimeSpan.Zero;

    /// <summary>The pause to make now.</summary>
    internal TimeSpan Next()
    {
        var pause = _next;
        _next = pause == TimeSpan.Zero ? longest / 100 : TimeSpan.FromTicks(Math.Min(longest.Ticks, pause.Ticks * 2));
        return pause;
    }

    /// <summary>Something worked.</summary>
    internal void Reset() => _next = TimeSpan.Zero;
}
