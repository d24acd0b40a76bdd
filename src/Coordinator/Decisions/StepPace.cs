namespace Pipeline.Coordinator;

/// <summary>How long steps take, and so how many of them a stretch of time needs. Pure.</summary>
/// <param name="span">What windows are to cover; zero for nothing.</param>
/// <param name="most">They never hold more steps.</param>
internal sealed class StepPace(TimeSpan span, int most)
{
    private const int Kept = 16;
    private readonly Queue<double> _seconds = [];

    /// <summary>Steps that cover the stretch, by the median of the newest; 0 while none was measured.</summary>
    internal int StepsAhead
    {
        get
        {
            if (span == TimeSpan.Zero || _seconds.Count == 0) return 0;
            return Median > 0 ? (int)Math.Min(most, Math.Ceiling(span.TotalSeconds / Median)) : most;
        }
    }

    /// <summary>What a step takes; 0 while none was measured.</summary>
    internal double Median => _seconds.Count == 0 ? 0 : _seconds.Order().ElementAt(_seconds.Count / 2);

    internal void Enter(double seconds)
    {
        _seconds.Enqueue(seconds);
        if (_seconds.Count > Kept) _seconds.Dequeue();
    }
}
