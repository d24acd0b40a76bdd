namespace Pipeline.Protocol.Links;

/// <summary>
/// What a node takes from others: which ranks are here and in which generation, and how far each link has come. Decides who is let in; holds
/// no connection open itself. Thread-safe.
/// </summary>
internal sealed class IncomingLinks(LinkIdentity identity)
{
    private const int MaxStateCount = 4096;

    private readonly Lock _gate = new();
    private readonly Dictionary<(LinkPurpose Purpose, RunId Run, int Rank), (Generation Generation, IFrameSink Sink)> _sinks = [];
    private readonly Dictionary<RunId, Generation> _fences = [];
    private readonly Dictionary<(ulong Incarnation, ulong Link), ReceiveState> _states = [];
    private long _fencedCount;
    private IFrameSink? _copies;

    /// <summary>Connections refused because their generation was replaced.</summary>
    internal long FencedCount => Interlocked.Read(ref _fencedCount);

    /// <summary>The links that have sent something.</summary>
    internal IReadOnlyList<ReceiveState> States
    {
        get
        {
            lock (_gate) return [.. _states.Values];
        }
    }

    /// <summary>Takes frames for a rank from now on, and nothing older.</summary>
    internal void Register(LinkPurpose purpose, RunId run, Generation generation, int rank, IFrameSink sink)
    {
        Fence(run, generation);
        lock (_gate) _sinks[(purpose, run, rank)] = (generation, sink);
    }

    /// <summary>Takes copies from now on, or none any more. They are the same bits in every generation, so that none is too old.</summary>
    internal void TakeCopies(IFrameSink? sink)
    {
        lock (_gate) _copies = sink;
    }

    /// <summary>Takes no frames for a rank any more, if it is still the given sink that does.</summary>
    internal void Withdraw(LinkPurpose purpose, RunId run, int rank, IFrameSink sink)
    {
        lock (_gate)
        {
            if (_sinks.TryGetValue((purpose, run, rank), out var entry) && ReferenceEquals(entry.Sink, sink)) _sinks.Remove((purpose, run, rank));
        }
    }

    /// <summary>Refuses what is older than a generation from now on, and ends what is connected.</summary>
    internal void Fence(RunId run, Generation generation)
    {
        List<IncomingConnection> ended = [];
        lock (_gate)
        {
            if (_fences.TryGetValue(run, out var latest) && latest >= generation) return;
            _fences[run] = generation;
            foreach (var (key, state) in _states.ToArray())
            {
                var claim = state.Peer.Claim;
                if (claim.Purpose != LinkPurpose.Frames || claim.Run != run || claim.Generation >= generation) continue;
                _states.Remove(key);
                if (state.Connection is { } connection) ended.Add(connection);
            }
        }

        foreach (var connection in ended) connection.Reject(LinkVerdict.Fenced);
    }

    /// <summary>Latest generation known of a run.</summary>
    internal Generation Latest(RunId run)
    {
        lock (_gate) return _fences.GetValueOrDefault(run, Generation.First);
    }

    /// <summary>Decides on a connection.</summary>
    /// <returns>A refusal, or the link's state and who takes its frames.</returns>
    internal Admission Judge(LinkHello hello, LinkKind kind)
    {
        var claim = hello.Claim;
        if (hello.Cluster != identity.Cluster)
            return Refuse(LinkVerdict.OtherCluster, claim, $"This node belongs to '{identity.Cluster}', the other to '{hello.Cluster}': same cluster name and same configuration are needed.");
        if (hello.Expected != identity.Incarnation)
            return Refuse(LinkVerdict.OtherIncarnation, claim, $"The process that was meant is gone; {identity.Node} is another one.");
        if (!Enum.IsDefined(claim.Purpose) || claim.FromRank < 0 || claim.ToRank < 0 || hello.Node is not { Length: > 0 and <= 128 })
            throw new LinkProtocolException($"A claim that makes no sense: {claim}.");
        var peer = new LinkPeer(hello.Node, hello.Incarnation, kind, claim);
        return claim.Purpose == LinkPurpose.Probe ? new Admission(null, new ReceiveState(peer), NoSink.Instance) : Admit(hello, peer);
    }

    /// <summary>A sender has said farewell.</summary>
    internal void Forget(LinkHello hello)
    {
        lock (_gate) _states.Remove((hello.Incarnation, hello.Link));
    }

    private Admission Admit(LinkHello hello, LinkPeer peer)
    {
        var claim = peer.Claim;
        lock (_gate)
        {
            var latest = _fences.GetValueOrDefault(claim.Run, Generation.First);
            if (claim.Purpose == LinkPurpose.Frames && claim.Generation < latest)
            {
                Interlocked.Increment(ref _fencedCount);
                return Refuse(LinkVerdict.Fenced, claim, $"Generation {claim.Generation} was replaced by {latest}.", latest);
            }

            if (SinkOf(claim) is not { } sink)
                return Refuse(LinkVerdict.NotReady, claim, $"{identity.Node} takes nothing yet for {claim}.", latest);
            var key = (hello.Incarnation, hello.Link);
            if (!_states.TryGetValue(key, out var state))
            {
                if (hello.Acknowledged > 0) return Refuse(LinkVerdict.Forgotten, claim, $"{identity.Node} no longer knows the link.", latest);
                if (_states.Count >= MaxStateCount) return Refuse(LinkVerdict.Busy, claim, $"{identity.Node} knows {MaxStateCount} links.", latest);
                _states[key] = state = new ReceiveState(peer);
            }
            else if (state.Peer.Claim != claim)
            {
                throw new LinkProtocolException($"A link of {state.Peer.Claim} became one of {claim}.");
            }

            return new Admission(null, state, sink);
        }
    }

    private IFrameSink? SinkOf(LinkClaim claim) => claim.Purpose == LinkPurpose.Copy ? _copies
        : _sinks.TryGetValue((claim.Purpose, claim.Run, claim.ToRank), out var entry) && entry.Generation == claim.Generation ? entry.Sink : null;

    private static Admission Refuse(LinkVerdict verdict, LinkClaim claim, string reason, Generation? latest = null) =>
        new(new LinkWelcome(verdict, latest ?? (claim.Generation.Number > 0 ? claim.Generation : Generation.First), 0, 0, 0, reason), null, NoSink.Instance);

    private sealed class NoSink : IFrameSink
    {
        internal static NoSink Instance { get; } = new();

        public IFrameBuffer Rent(LinkPeer from, Frames.FrameHeader header) => throw new LinkProtocolException("A probe carries no frames.");

        public void Arrived(ArrivedFrame frame) => throw new LinkProtocolException("A probe carries no frames.");
    }
}

/// <summary>What was decided about a connection.</summary>
/// <param name="Refusal">The answer if it is not taken; else null.</param>
/// <param name="State">The link's state if it is.</param>
/// <param name="Sink">Who takes its frames.</param>
internal sealed record Admission(LinkWelcome? Refusal, ReceiveState? State, IFrameSink Sink);
