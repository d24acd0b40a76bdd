using Pipeline.Model.Training;
using Pipeline.Reduction.Summation;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Stages;

/// <summary>
/// The sums of a shard at its owner, micro-batch by micro-batch: of fast ones a tree over the replicas for each of their micro-batches, added one
/// behind the other; of invariant ones one tree over all micro-batches of the step. Owns its buffers.
/// </summary>
internal sealed class OwnedShard : IDisposable
{
    private readonly ReplicaPlace _place;
    private readonly (Transfer Transfer, int Round)[] _incoming;
    private readonly Dictionary<int, TreeAccumulator> _open = [];
    private readonly List<(int LeafCount, TreeAccumulator Sums)> _spare = [];
    private readonly FloatBuffer _sum;
    private int _taken;
    private int _nextRound;

    /// <param name="shard">Which elements.</param>
    /// <param name="place">Which replica owns them, and whose the micro-batches are.</param>
    /// <param name="incoming">What the other replicas send of each of their micro-batches.</param>
    internal OwnedShard(Shard shard, ReplicaPlace place, IReadOnlyList<Transfer> incoming)
    {
        (Shard, _place) = (shard, place);
        _incoming = [.. from round in Enumerable.Range(0, place.Shares.Max(share => share.Count)) from transfer in incoming where place.Shares[transfer.From.Replica].Count > round select (transfer, round)];
        _sum = new FloatBuffer(shard.Length);
    }

    /// <summary>Takes a sum.</summary>
    internal delegate void Taker(ReadOnlySpan<float> sum);

    /// <summary>Which elements.</summary>
    internal Shard Shard { get; }

    /// <summary>What is to be taken next from others in this step, and of which of the sender's micro-batches; null for nothing further.</summary>
    internal (Transfer Transfer, int Round)? Next => _taken < _incoming.Length ? _incoming[_taken] : null;

    /// <summary>Adds a micro-batch of a replica.</summary>
    internal void Add(int replica, int round, ReadOnlySpan<float> values)
    {
        if (replica != _place.Index) _taken++;
        if (_place.Summation == Summation.Invariant) Sums(0, _place.Tree.LeafCount).Add(_place.Shares[replica].First + round, values);
        // Those with a micro-batch more are the first ones.
        else Sums(round, _place.Shares.Count(share => share.Count > round)).Add(replica, values);
    }

    /// <summary>Hands out the fast sums of micro-batches that all replicas have sent, in their order.</summary>
    internal void TakeRounds(Taker take)
    {
        if (_place.Summation == Summation.Invariant) return;
        while (_open.TryGetValue(_nextRound, out var sums) && sums.IsComplete) Take(_nextRound++, sums, take);
    }

    /// <summary>Hands out what is still to be handed out once everything of a step has come, and is ready for the next one.</summary>
    internal void Finish(Taker take)
    {
        (_taken, _nextRound) = (0, 0);
        if (_place.Summation == Summation.Invariant) Take(0, _open[0], take);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var sums in _open.Values.Concat(_spare.Select(spare => spare.Sums))) sums.Dispose();
        _sum.Dispose();
    }

    private void Take(int round, TreeAccumulator sums, Taker take)
    {
        sums.TakeRoot(_sum.Span);
        take(_sum.Span);
        _open.Remove(round);
        _spare.Add((sums.Tree.LeafCount, sums));
    }

    private TreeAccumulator Sums(int round, int leafCount)
    {
        if (_open.TryGetValue(round, out var open)) return open;
        var place = _spare.FindIndex(spare => spare.LeafCount == leafCount);
        var sums = place < 0 ? new TreeAccumulator(new SummationTree(leafCount), Shard.Length) : _spare[place].Sums;
        if (place >= 0) _spare.RemoveAt(place);
        _open.Add(round, sums);
        return sums;
    }
}
