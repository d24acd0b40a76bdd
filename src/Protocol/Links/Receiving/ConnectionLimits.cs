namespace Pipeline.Protocol.Links;

/// <summary>Counts connections before and after their handshake; what is over a limit is closed before a byte is read.</summary>
internal sealed class ConnectionLimits(LinkSettings settings)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, int> _pending = new(StringComparer.Ordinal);
    private int _count;

    /// <summary>Whether one more may begin its handshake.</summary>
    internal bool TryBegin(string source)
    {
        lock (_gate)
        {
            var pending = _pending.GetValueOrDefault(source);
            if (_count >= settings.MaxConnectionCount || pending >= settings.MaxPendingCount) return false;
            _pending[source] = pending + 1;
            _count++;
            return true;
        }
    }

    /// <summary>One has proved who it is.</summary>
    internal void Authenticated(string source)
    {
        lock (_gate)
        {
            if (--_pending[source] == 0) _pending.Remove(source);
        }
    }

    /// <summary>One has ended after <see cref="Authenticated"/>.</summary>
    internal void End()
    {
        lock (_gate) _count--;
    }
}
