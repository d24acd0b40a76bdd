using System.Runtime.InteropServices;
using Pipeline.Reduction.Summation;

namespace Pipeline.Reduction.Compression;

/// <summary>A parameter of two dimensions inside a span.</summary>
/// <param name="Start">Its first element.</param>
/// <param name="Rows">Rows.</param>
/// <param name="Columns">Elements of a row.</param>
public readonly record struct MatrixRange(int Start, int Rows, int Columns)
{
    /// <summary>Number of elements.</summary>
    public int Length => checked(Rows * Columns);
}

/// <summary>
/// Matrices as P · Qᵀ of a small rank (PowerSGD, Vogels, Karimireddy, Jaggi 2019): one step of subspace iteration from the former Q,
/// P orthonormal. What is no matrix, or too small to gain, travels as it is. Unlike the original, in which replicas agree on P before
/// they make Q, each sender has factors of its own, since here a contribution is one message to whichever place adds it up.
/// <para>Holds the former Q of each matrix, which belongs to the sender's state like the residual. Owns that memory.</para>
/// </summary>
public sealed class PowerSgdCompressor : ICompressor, IDisposable
{
    private readonly int _length;
    private readonly int _rank;
    private readonly IReadOnlyList<MatrixRange> _matrices;
    private readonly IReadOnlyList<(int Start, int Length)> _rest;
    private readonly FloatBuffer _warmStart;
    private readonly ulong _seed;

    /// <summary>A compressor of one span; its first Q are random.</summary>
    /// <param name="length">Elements of the span.</param>
    /// <param name="matrices">Matrices inside the span, in rising order.</param>
    /// <param name="rank">Columns of P and Q, from 1.</param>
    /// <param name="seed">Of the first Q; the same at every replica, so that they begin in one subspace.</param>
    public PowerSgdCompressor(int length, IReadOnlyList<MatrixRange> matrices, int rank, ulong seed)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rank, 1);
        _length = length;
        _rank = rank;
        _seed = seed;
        _matrices = [.. matrices.Where(matrix => (long)rank * (matrix.Rows + matrix.Columns) < matrix.Length)];
        _rest = Rest(length, _matrices);
        _warmStart = new FloatBuffer(_matrices.Sum(matrix => matrix.Columns * rank));
        Restart();
    }

    /// <inheritdoc/>
    public CompressionKind Kind => CompressionKind.PowerSgd;

    /// <summary>The former Q of all matrices: to be saved and loaded with the residual.</summary>
    public Span<float> WarmStart => _warmStart.Span;

    /// <summary>Goes back to the first Q.</summary>
    public void Restart() => FillRandom(_warmStart.Span, _seed);

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The compressor was made for another length.</exception>
    public int MaxByteCount(int length)
    {
        if (length != _length) throw new ArgumentException($"This compressor is for {_length} elements, found {length}.", nameof(length));
        return checked(sizeof(float) * (_rest.Sum(range => range.Length) + _matrices.Sum(matrix => _rank * (matrix.Rows + matrix.Columns))));
    }

    /// <inheritdoc/>
    public int Compress(ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, RoundingKey key)
    {
        var byteCount = MaxByteCount(input.Length);
        var target = MemoryMarshal.Cast<byte, float>(payload[..byteCount]);
        var warm = WarmStart;
        foreach (var matrix in _matrices)
        {
            var left = target[..(_rank * matrix.Rows)];
            var right = target.Slice(left.Length, _rank * matrix.Columns);
            var values = input.Slice(matrix.Start, matrix.Length);
            LowRank.Factor(values, matrix, warm[..right.Length], left, right);
            right.CopyTo(warm);
            if (!residual.IsEmpty) LowRank.Subtract(values, matrix, left, right, residual.Slice(matrix.Start, matrix.Length));
            target = target[(left.Length + right.Length)..];
            warm = warm[right.Length..];
        }

        foreach (var (start, length) in _rest)
        {
            input.Slice(start, length).CopyTo(target);
            if (!residual.IsEmpty) residual.Slice(start, length).Clear();
            target = target[length..];
        }

        return byteCount;
    }

    /// <inheritdoc/>
    public void Decompress(ReadOnlySpan<byte> payload, Span<float> output)
    {
        PayloadLength.Require(Kind, payload.Length, MaxByteCount(output.Length));
        var source = MemoryMarshal.Cast<byte, float>(payload);
        foreach (var matrix in _matrices)
        {
            var left = source[..(_rank * matrix.Rows)];
            var right = source.Slice(left.Length, _rank * matrix.Columns);
            LowRank.Multiply(matrix, left, right, output.Slice(matrix.Start, matrix.Length));
            source = source[(left.Length + right.Length)..];
        }

        foreach (var (start, length) in _rest)
        {
            source[..length].CopyTo(output[start..]);
            source = source[length..];
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _warmStart.Dispose();

    private static List<(int Start, int Length)> Rest(int length, IReadOnlyList<MatrixRange> matrices)
    {
        List<(int, int)> rest = [];
        var end = 0;
        foreach (var matrix in matrices)
        {
            if (matrix.Start < end || matrix.Length > length - matrix.Start)
                throw new ArgumentException($"The matrix of {matrix.Rows} × {matrix.Columns} at {matrix.Start} overlaps another or ends beyond {length}.", nameof(matrices));
            if (matrix.Start > end) rest.Add((end, matrix.Start - end));
            end = matrix.Start + matrix.Length;
        }

        if (end < length) rest.Add((end, length - end));
        return rest;
    }

    private static void FillRandom(Span<float> values, ulong seed)
    {
        Span<uint> words = stackalloc uint[CounterRandom.BlockLength];
        for (var index = 0; index < values.Length; index++)
        {
            if (index % words.Length == 0) CounterRandom.Fill(words, new RoundingKey(seed, 0), (uint)(index / words.Length));
            values[index] = (int)words[index % words.Length] * (1f / int.MaxValue);
        }
    }
}
