using Akka.Event;

namespace Pipeline.Protocol.Security.Guard;

/// <summary>One line for a source that is refused, then a count: a source writes at most one line a minute, all sources together one a second.</summary>
/// <param name="time">Clock of the limits.</param>
internal sealed class RefusalLog(TimeProvider time)
{
    private const int MostSources = 256;
    private static readonly TimeSpan SourcePause = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan CommonPause = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, long> _lastLines = new(StringComparer.Ordinal);
    private long? _lastLine;
    private long _count;
    private long _silent;

    /// <summary>Everything that was refused.</summary>
    public long Count => Interlocked.Read(ref _count);

    /// <summary>Counts, and writes a line if it is time for one.</summary>
    /// <param name="log">Where to.</param>
    /// <param name="source">Who is refused, without a port: a scanner comes from a new one each time.</param>
    /// <param name="clause">What was refused.</param>
    public void Report(ILoggingAdapter log, string source, string clause)
    {
        Interlocked.Increment(ref _count);
        long unsaid;
        lock (_gate)
        {
            if (!IsTime(source))
            {
                _silent++;
                return;
            }

            (unsaid, _silent) = (_silent, 0);
        }

        log.Warning("Refused from {0}: {1}.{2}", SafeText.Of(source), clause, unsaid > 0 ? $" {unsaid} more were refused since the last such line." : "");
    }

    private bool IsTime(string source)
    {
        var now = time.GetTimestamp();
        if (_lastLine is { } common && time.GetElapsedTime(common, now) < CommonPause) return false;
        if (_lastLines.TryGetValue(source, out var own) && time.GetElapsedTime(own, now) < SourcePause) return false;
        if (_lastLines.Count >= MostSources) _lastLines.Clear();
        _lastLines[source] = now;
        _lastLine = now;
        return true;
    }
}
