using Pipeline.Model.Units;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Summation;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>A bucket where nobody computes: a span for the sum, and no unit behind it. Owns the span.</summary>
/// <param name="units">The units, in the order in which backward finishes them.</param>
/// <param name="name">Place in the model of the first of them.</param>
internal sealed class ReducerBucket(IReadOnlyList<Unit> units, int name) : IGradientBucket
{
    private readonly FloatBuffer _sum = new(checked((int)units.Sum(GradientPlaces.LengthOf)));

    /// <inheritdoc/>
    public int Name => name;

    /// <inheritdoc/>
    public Span<float> Values => _sum.Span;

    /// <inheritdoc/>
    public IReadOnlyList<MatrixRange> MatricesIn(int start, int length) => BucketMatrices.In(units, start, length);

    /// <inheritdoc/>
    public torch.Tensor? ViewOf(int start, int length) => null;

    /// <inheritdoc/>
    public void Gather()
    {
        // There is nothing of its own.
    }

    /// <inheritdoc/>
    public void Scatter()
    {
        // The sum went to the replicas.
    }

    /// <inheritdoc/>
    public void Clear() => _sum.Span.Clear();

    /// <inheritdoc/>
    public void Dispose() => _sum.Dispose();
}
