using Pipeline.Protocol;

namespace Pipeline.Operator;

/// <summary>A link and how fast it carries at present.</summary>
/// <param name="Line">As its sender sees it.</param>
/// <param name="BytesPerSecond">Bytes written a second since it was last looked at; null where it was not there then.</param>
public sealed record LinkRate(LinkLine Line, double? BytesPerSecond);

/// <summary>How fast links carry, from what they had sent when they were looked at before. Safe for many threads.</summary>
/// <param name="time">Clock.</param>
public sealed class LinkRates(TimeProvider time)
{
    private static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(15);
    private readonly Lock _gate = new();
    private Dictionary<(string, string, string, int, int), long> _before = [];
    private long _lookedAt;

    /// <summary>The links now. Who looks for the first time, or after long, waits for a second look.</summary>
    public async Task<IReadOnlyList<LinkRate>> LookAsync(Func<CancellationToken, Task<IReadOnlyList<LinkLine>>> links, CancellationToken cancellation)
    {
        var isStale = false;
        lock (_gate) isStale = _lookedAt == 0 || time.GetElapsedTime(_lookedAt) > Longest;
        var lines = await links(cancellation).ConfigureAwait(false);
        if (!isStale || lines.Count == 0) return Enter(lines);
        Enter(lines);
        await Task.Delay(Shortest, time, cancellation).ConfigureAwait(false);
        return Enter(await links(cancellation).ConfigureAwait(false));
    }

    private IReadOnlyList<LinkRate> Enter(IReadOnlyList<LinkLine> lines)
    {
        lock (_gate)
        {
            var seconds = _lookedAt == 0 ? 0 : time.GetElapsedTime(_lookedAt).TotalSeconds;
            IReadOnlyList<LinkRate> rates = [.. lines.Select(line => new LinkRate(line, seconds > 0 && _before.TryGetValue(Key(line), out var sent) && line.BytesSent >= sent ? (line.BytesSent - sent) / seconds : null))];
            // Two who look at once must not measure a moment.
            if (seconds > 0 && seconds < Shortest.TotalSeconds / 2) return rates;
            _lookedAt = time.GetTimestamp();
            _before = lines.GroupBy(Key).ToDictionary(same => same.Key, same => same.Max(line => line.BytesSent));
            return rates;
        }
    }

    private static (string, string, string, int, int) Key(LinkLine line) => (line.From, line.To, line.Purpose, line.FromRank, line.ToRank);
}
