using Pipeline.Reduction.Summation;

namespace Pipeline.Reduction.Topologies;

/// <summary>
/// One participant's part in the reduction of one shard: it takes its own sums and what others send, in any order, and has the sums
/// to pass on, or at the owner the sum of all. Owns its buffers; used by one thread at a time, for one step after the other.
/// </summary>
public sealed class ShardReduction : IDisposable
{
    private readonly TreeAccumulator _sums;
    private readonly SummationTree _tree;
    private readonly HashSet<TreeNode> _awaited;
    private readonly TreeNode[] _everyStep;

    /// <summary>A participant's part in a plan.</summary>
    public ShardReduction(ReductionPlan plan, Participant self, Shard shard)
    {
        Shard = shard;
        Outgoing = plan.ContributionFrom(self, shard);
        _tree = plan.Tree;
        _everyStep = [.. plan.ContributionsTo(self, shard).SelectMany(transfer => transfer.Nodes), .. plan.Own(self)];
        _awaited = [.. _everyStep];
        _sums = new TreeAccumulator(plan.Tree, shard.Length);
    }

    /// <summary>Which elements.</summary>
    public Shard Shard { get; }

    /// <summary>What it passes on once it is ready; null at the owner.</summary>
    public Transfer? Outgoing { get; }

    /// <summary>Most bytes that sums under way have taken.</summary>
    public long PeakByteCount => _sums.PeakByteCount;

    /// <summary>Whether everything awaited has come.</summary>
    public bool IsReady => _awaited.Count == 0;

    /// <summary>Whether one sum alone is still awaited.</summary>
    public bool AwaitsOne => _awaited.Count == 1;

    /// <summary>Whether memory that was lent to it is still to be read.</summary>
    public bool HasLent => _sums.HasLent;

    /// <summary>Takes the sum at a node, its own or one received; the values stay the caller's.</summary>
    /// <exception cref="InvalidOperationException">The plan does not send this sum here, or it came before.</exception>
    public void Add(TreeNode node, ReadOnlySpan<float> values) => _sums.Add(Claim(node), values);

    /// <summary>Takes the sum at a node from where it lies: memory outside the collected heap, which stays as it is until the sums are taken.</summary>
    /// <exception cref="InvalidOperationException">As for a sum that is copied.</exception>
    public void AddLent(TreeNode node, ReadOnlySpan<float> values) => _sums.AddLent(Claim(node), values);

    /// <summary>The sums to pass on, in the order of the transfer's nodes; the caller owns them. Ready for the next step afterwards.</summary>
    public IReadOnlyList<TreePart> TakeOutgoing()
    {
        RequireReady();
        return _sums.TakeParts();
    }

    /// <summary>Copies the sum over all replicas out, at the owner. Ready for the next step afterwards.</summary>
    public void TakeSum(Span<float> sum)
    {
        RequireReady();
        _sums.TakeRoot(sum);
    }

    /// <summary>Takes the sum that alone is still awaited and writes the sum over all replicas, at the owner. Ready for the next step afterwards.</summary>
    /// <exception cref="InvalidOperationException">It is not awaited, or not alone.</exception>
    public void TakeSum(TreeNode last, ReadOnlySpan<float> values, Span<float> sum)
    {
        last = Claim(last);
        RequireReady();
        _sums.TakeRoot(last, values, sum);
    }

    /// <summary>Forgets a step that is not applied.</summary>
    public void Clear()
    {
        _sums.Clear();
        _awaited.UnionWith(_everyStep);
    }

    /// <inheritdoc/>
    public void Dispose() => _sums.Dispose();

    private TreeNode Claim(TreeNode node)
    {
        node = _tree.Highest(node);
        if (_awaited.Remove(node)) return node;
        throw new InvalidOperationException($"Shard {Shard.Index}: the sum at node {node} came, awaited are {(IsReady ? "none" : string.Join(", ", _awaited))}.");
    }

    private void RequireReady()
    {
        if (!IsReady) throw new InvalidOperationException($"Shard {Shard.Index}: still awaited are the sums at {string.Join(", ", _awaited)}.");
        _awaited.UnionWith(_everyStep);
    }
}
