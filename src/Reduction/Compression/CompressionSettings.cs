using System.Diagnostics;

namespace Pipeline.Reduction.Compression;

/// <summary>How spans of one direction are compressed.</summary>
public sealed record CompressionSettings
{
    /// <summary>Everything as fp32.</summary>
    public static CompressionSettings None { get; } = new() { Kind = CompressionKind.None };

    /// <summary>What is done.</summary>
    public required CompressionKind Kind { get; init; }

    /// <summary>Rounding of bfloat16, int8 and int4.</summary>
    public Rounding Rounding { get; init; } = Rounding.Nearest;

    /// <summary>Whether what was lost is added to the next step's input.</summary>
    public bool ErrorFeedback { get; init; } = true;

    /// <summary>Share of the elements that top-k sends.</summary>
    public double Share { get; init; } = 0.01;

    /// <summary>Rank of PowerSGD.</summary>
    public int Rank { get; init; } = 2;

    /// <summary>First steps, which are sent as fp32: early gradients are large and change fast.</summary>
    public int WarmupSteps { get; init; }

    /// <summary>Asked after the first steps whether a step is compressed; null where all are. The same answer at both ends, and in every replay.</summary>
    public Func<long, bool>? IsOn { get; init; }

    /// <summary>Asked after the first steps for another kind than <see cref="Kind"/>; null, or an answer of null, where it stays. The same answer at both ends, and in every replay.</summary>
    public Func<long, CompressionKind?>? Instead { get; init; }

    /// <summary>The kind of a step, counted from 1.</summary>
    public CompressionKind KindAt(long step)
    {
        if (step <= WarmupSteps) return CompressionKind.None;
        return Instead?.Invoke(step) ?? (IsOn?.Invoke(step) == false ? CompressionKind.None : Kind);
    }

    /// <summary>The compressor of one span.</summary>
    /// <param name="length">Elements of the span.</param>
    /// <param name="matrices">Its matrices, for PowerSGD.</param>
    /// <param name="seed">Of PowerSGD's first factors.</param>
    public ICompressor Create(int length, IReadOnlyList<MatrixRange> matrices, ulong seed) => Kind switch
    {
        CompressionKind.None => new Uncompressed(),
        CompressionKind.BFloat16 => new BFloat16Compressor(Rounding),
        CompressionKind.Int8 or CompressionKind.Int4 => new BlockCompressor(Kind, Rounding),
        CompressionKind.OneBit => new OneBitCompressor(),
        CompressionKind.TopK => new TopKCompressor(Share),
        CompressionKind.PowerSgd => new PowerSgdCompressor(length, matrices, Rank, seed),
        _ => throw new UnreachableException($"compression {(int)Kind}"),
    };
}
