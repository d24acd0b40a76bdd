using Pipeline.Protocol.Security;

namespace Pipeline.Protocol.Links;

/// <summary>Lets one warning a source and minute through, so that nobody can fill a log; and forgets old sources, so that many cost nothing.</summary>
internal sealed class WarningGate(TimeProvider clock, Action<LinkEvent> raise)
{
    private const int MaxSourceCount = 256;
    private const int LongestText = 400;
    private static readonly TimeSpan Pause = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, long> _last = new(StringComparer.Ordinal);

    /// <summary>Warns, unless the source was warned of within the last minute.</summary>
    internal void Warn(string source, string text)
    {
        lock (_gate)
        {
            var now = clock.GetTimestamp();
            if (_last.TryGetValue(source, out var last) && clock.GetElapsedTime(last, now) < Pause) return;
            if (_last.Count >= MaxSourceCount && !_last.ContainsKey(source)) Forget(now);
            // Too many at once to tell apart: they share one line a minute.
            if (_last.Count >= MaxSourceCount) source = "many sources";
            if (_last.TryGetValue(source, out last) && clock.GetElapsedTime(last, now) < Pause) return;
            _last[source] = now;
        }

        // Names and reasons come from outside: no control codes reach a log.
        raise(new LinkWarning(SafeText.Of(source), SafeText.Of(text, LongestText)));
    }

    private void Forget(long now)
    {
        foreach (var (source, last) in _last.ToArray())
        {
            if (clock.GetElapsedTime(last, now) >= Pause) _last.Remove(source);
        }
    }
}
