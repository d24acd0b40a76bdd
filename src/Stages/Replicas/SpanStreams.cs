using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Stages;

/// <summary>The streams of one bucket that end or begin at a replica. Owns them.</summary>
internal sealed class SpanStreams : IDisposable
{
    private readonly IGradientBucket _bucket;
    private readonly Dictionary<Transfer, SpanStream> _contributions;
    private readonly Dictionary<int, SpanStream> _answers;

    /// <param name="plan">Who sends what to whom.</param>
    /// <param name="self">Who this is.</param>
    /// <param name="bucket">The gradients; not owned.</param>
    /// <param name="settings">Compression.</param>
    /// <param name="residuals">Where what compression loses is kept.</param>
    /// <param name="seed">The run's seed.</param>
    internal SpanStreams(ReductionPlan plan, Participant self, IGradientBucket bucket, ReductionSettings settings, ResidualStore residuals, ulong seed)
    {
        _bucket = bucket;
        _contributions = plan.Contributions.Where(transfer => transfer.From == self || transfer.To == self).ToDictionary(
            transfer => transfer,
            transfer => Stream(
                settings.Contributions, transfer.Shard, transfer.Nodes.Count, FormattableString.Invariant($"from-{transfer.From.Replica}"), seed, transfer.From == self ? residuals : null,
                RangeOf(transfer.Shard, transfer.From.Replica), from => ResidualRange.Takes(self.Replica, from, transfer.Shard.Owner.Replica, plan.ReplicaCount)));
        _answers = plan.Shards.ToDictionary(shard => shard.Index, shard => Stream(settings.Answers, shard, 1, "answer", seed, shard.Owner == self ? residuals : null, RangeOf(shard, -1), _ => true));
    }

    /// <summary>That of a contribution.</summary>
    internal SpanStream Of(Transfer contribution) => _contributions[contribution];

    /// <summary>That of a shard's answer.</summary>
    internal SpanStream Answer(Shard shard) => _answers[shard.Index];

    /// <summary>Whether everything of a step is sent as it is.</summary>
    internal bool ArePlainAt(long step) => _contributions.Values.Concat(_answers.Values).All(stream => stream.IsPlainAt(step));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var stream in _contributions.Values.Concat(_answers.Values)) stream.Dispose();
    }

    private ResidualRange RangeOf(Shard shard, int from) => new(_bucket.Name, from, shard.Start, shard.Length);

    private SpanStream Stream(CompressionSettings settings, Shard shard, int nodeCount, string name, ulong seed, ResidualStore? residuals, ResidualRange range, Func<int, bool> takes)
    {
        var matrices = _bucket.MatricesIn(shard.Start, shard.Length);
        IReadOnlyList<MatrixRange> all =
            [.. Enumerable.Range(0, nodeCount).SelectMany(node => matrices.Select(matrix => matrix with { Start = matrix.Start + node * shard.Length }))];
        var transfer = FormattableString.Invariant($"unit-{_bucket.Name}.shard-{shard.Index}.{name}");
        // Several sums in one transfer are losses of parts of the tree: they belong to it alone.
        if (nodeCount > 1) return new SpanStream(settings, checked(nodeCount * shard.Length), all, transfer, transfer, seed, residuals);
        if (settings.ErrorFeedback) residuals?.Adopt(range, takes);
        return new SpanStream(settings, shard.Length, all, transfer, range.Name, seed, residuals);
    }
}
