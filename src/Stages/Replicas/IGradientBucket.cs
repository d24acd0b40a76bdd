using Pipeline.Model.Units;
using Pipeline.Reduction.Compression;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>The gradients of some units as one span, as its reduction sees it. On one thread at a time.</summary>
internal interface IGradientBucket : IDisposable
{
    /// <summary>Place in the model of the unit that backward finishes first: names the bucket.</summary>
    int Name { get; }

    /// <summary>The span.</summary>
    Span<float> Values { get; }

    /// <summary>The whole rows of matrices inside a range of the span, as matrices of that range, in rising order.</summary>
    /// <param name="start">First element of the range.</param>
    /// <param name="length">Its elements.</param>
    IReadOnlyList<MatrixRange> MatricesIn(int start, int length);

    /// <summary>A tensor that names the memory of a range of the span, owned by the caller; null where that is not a tensor's.</summary>
    /// <param name="start">First element of the range.</param>
    /// <param name="length">Its elements.</param>
    torch.Tensor? ViewOf(int start, int length);

    /// <summary>Brings the gradients into the span.</summary>
    void Gather();

    /// <summary>Puts the span where the gradients are wanted.</summary>
    void Scatter();

    /// <summary>Clears the gradients.</summary>
    void Clear();
}

/// <summary>Which parts of a bucket are matrices, by the units' parameters alone. Pure.</summary>
internal static class BucketMatrices
{
    internal static IReadOnlyList<MatrixRange> In(IReadOnlyList<Unit> units, int start, int length)
    {
        List<MatrixRange> matrices = [];
        var unitStart = 0L;
        foreach (var unit in units)
        {
            foreach (var (parameter, offset) in GradientPlaces.Of(unit).Where(place => place.Parameter.Shape.Length == 2))
            {
                var (first, columns) = (unitStart + offset, parameter.Shape[1]);
                var begin = Math.Max(0, (start - first + columns - 1) / columns);
                var end = Math.Min(parameter.Shape[0], (start + length - first) / columns);
                if (start + length > first && end > begin) matrices.Add(new MatrixRange((int)(first + begin * columns - start), (int)(end - begin), (int)columns));
            }

            unitStart += GradientPlaces.LengthOf(unit);
        }

        return [.. matrices.OrderBy(matrix => matrix.Start)];
    }
}
