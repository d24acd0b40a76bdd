using System.Net;
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
        source = Plain(source);
        Interlocked.Increment(ref _count);
        Say(log, source, "peer-refused", $"Refused from {SafeText.Of(source)}: {clause}.");
    }

    /// <summary>Writes a line about somebody who was not reached, if it is time for one.</summary>
    /// <param name="log">Where to.</param>
    /// <param name="address">Who was dialled.</param>
    /// <param name="reason">Why it came to nothing.</param>
    public void Unreached(ILoggingAdapter log, string address, string reason) => Say(log, address, "peer-unreached", $"No connection to {SafeText.Of(address)}: {SafeText.Of(reason.TrimEnd('.'))}.");

    private void Say(ILoggingAdapter log, string source, string name, string sentence)
    {
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

        log.Say(LogLevel.WarningLevel, new LogSaying(name, unsaid > 0 ? $"{sentence} {unsaid} more such lines were left out since the last one." : sentence));
    }

    /// <summary>One name for a source, however the transport spells its address.</summary>
    private static string Plain(string source) => IPAddress.TryParse(source.Trim('[', ']'), out var address)
        ? (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString()
        : source;

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
