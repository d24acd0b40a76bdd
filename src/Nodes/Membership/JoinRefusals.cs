using Pipeline.Protocol.Security.Guard;

namespace Pipeline.Nodes;

/// <summary>
/// What became of the seed nodes that a node has dialled in order to join. Once each of them has shown a certificate that is refused, nothing is
/// to be waited for. Thread-safe.
/// </summary>
/// <param name="seeds">The seed nodes, as host:port.</param>
/// <param name="own">This node, as host:port.</param>
internal sealed class JoinRefusals(IEnumerable<string> seeds, string own)
{
    private readonly Lock _gate = new();
    private readonly HashSet<string> _open = [.. seeds.Where(seed => seed != own)];
    private DialRefusal? _last;

    /// <summary>Enters one; true if all seed nodes are refused for certain by now.</summary>
    internal bool Enter(DialRefusal refusal)
    {
        lock (_gate)
        {
            // What is certain says more than what is inferred.
            if (_last is not { IsCertain: true } || refusal.IsCertain) _last = refusal;
            return refusal.IsCertain && _open.Remove(refusal.Address) && _open.Count == 0;
        }
    }

    /// <summary>How the joining ended, where certificates had to do with it; null otherwise.</summary>
    internal NodeEnd? End
    {
        get
        {
            lock (_gate) return _last is null ? null : NodeEnd.Unadmitted(_last);
        }
    }
}
