namespace Pipeline.Stages;

/// <summary>
/// What was sent to a rank that it never awaits: refused, counted, and said at most once a minute, so that nobody can fill a log. Thread-safe.
/// </summary>
/// <param name="time">Clock of the limit.</param>
/// <param name="warn">Takes a sentence.</param>
internal sealed class StrayInputs(TimeProvider time, Action<string> warn)
{
    private static readonly TimeSpan Pause = TimeSpan.FromMinutes(1);
    private readonly Lock _gate = new();
    private long? _last;
    private long _unsaid;

    /// <summary>For ranks whose inputs nobody else can send.</summary>
    internal static StrayInputs Unheard { get; } = new(TimeProvider.System, static _ => { });

    /// <summary>Everything that was refused.</summary>
    internal long Count { get; private set; }

    /// <summary>Something was refused.</summary>
    /// <param name="clause">What, and why.</param>
    internal void Refuse(string clause)
    {
        long unsaid;
        lock (_gate)
        {
            Count++;
            var now = time.GetTimestamp();
            if (_last is { } last && time.GetElapsedTime(last, now) < Pause)
            {
                _unsaid++;
                return;
            }

            (_last, unsaid, _unsaid) = (now, _unsaid, 0);
        }

        warn($"Refused: {clause}. The run goes on.{(unsaid > 0 ? $" {unsaid} more were refused since the last such line." : "")}");
    }
}
