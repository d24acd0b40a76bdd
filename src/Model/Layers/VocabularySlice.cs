using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// One slice of a head that is cut over the vocabulary, and what its units hand on: [B, T, D + C], the normed hidden state in front and
/// behind it <see cref="SlicedSoftmax"/>'s statistics of each token, fp64 bits in the elements of the activations' type. The backward hands the
/// gradient of the hidden state the same way, with the statistics of all slices.
/// </summary>
/// <param name="Width">D.</param>
/// <param name="FirstToken">First token of the slice.</param>
/// <param name="IsFirst">Whether its input is a plain hidden state.</param>
/// <param name="IsLast">Whether its output is the loss.</param>
internal sealed record VocabularySlice(int Width, long FirstToken, bool IsFirst, bool IsLast)
{
    /// <summary>Hidden state [B, T, D] and statistics [B · T, 3] in one tensor of the hidden state's type.</summary>
    internal static Tensor Join(Tensor hidden_BTD, Tensor statistics)
    {
        var columnCount = SlicedSoftmax.StatisticCount * sizeof(double) / hidden_BTD.element_size();
        using var columns = SameBits(statistics, [hidden_BTD.shape[0], hidden_BTD.shape[1], columnCount], hidden_BTD.dtype);
        return cat([hidden_BTD, columns], -1);
    }

    /// <summary>The hidden state in front, contiguous.</summary>
    internal Tensor Hidden(Tensor joined)
    {
        using var front = joined.narrow(-1, 0, Width);
        return front.contiguous();
    }

    /// <summary>The statistics of each token behind it, [B · T, 3]; a copy.</summary>
    internal Tensor Statistics(Tensor joined)
    {
        using var behind = joined.narrow(-1, Width, joined.shape[^1] - Width);
        using var bits = behind.contiguous();
        return SameBits(bits, [joined.shape[0] * joined.shape[1], SlicedSoftmax.StatisticCount], ScalarType.Float64);
    }

    // The library has no view of another type; on a device the few bytes go by way of the CPU.
    private static Tensor SameBits(Tensor source, long[] shape, ScalarType type)
    {
        using var here = source.cpu();
        using var other = empty(shape, type);
        here.bytes.CopyTo(other.bytes);
        return other.to(source.device).alias();
    }
}
