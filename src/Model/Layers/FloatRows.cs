using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// The rows of a matrix [..., R, C] in fp32 or bf16 as floats: fp32 rows where they lie, bf16 rows by way of one row of its own, which
/// the next <see cref="Read"/> overwrites. For one thread.
/// </summary>
internal sealed class FloatRows
{
    private readonly float[]? _wide;
    private readonly int _elementBytes;
    private readonly int _rowBytes;

    internal FloatRows(Tensor matrix)
    {
        var shape = matrix.shape;
        Count = (int)shape[^2];
        _elementBytes = matrix.dtype == ScalarType.BFloat16 ? sizeof(ushort) : sizeof(float);
        _rowBytes = (int)shape[^1] * _elementBytes;
        if (_elementBytes == sizeof(ushort)) _wide = new float[shape[^1]];
    }

    /// <summary>Rows of one matrix.</summary>
    internal int Count { get; }

    /// <summary>The bytes of a row.</summary>
    internal Span<byte> Row(Span<byte> matrix, int row) => matrix.Slice(row * _rowBytes, _rowBytes);

    /// <summary>The bytes of a row's first elements.</summary>
    internal Span<byte> Part(Span<byte> row, int count) => row[..(count * _elementBytes)];

    /// <summary>A row or part of one as floats.</summary>
    internal Span<float> Read(Span<byte> row)
    {
        if (_wide is null) return MemoryMarshal.Cast<byte, float>(row);
        var halves = MemoryMarshal.Cast<byte, ushort>(row);
        Bf16Rows.Widen(halves, _wide);
        return _wide.AsSpan(0, halves.Length);
    }

    /// <summary>Puts what was read and changed back to where it came from.</summary>
    internal void Write(ReadOnlySpan<float> values, Span<byte> row)
    {
        if (_wide is not null) Bf16Rows.Narrow(values, MemoryMarshal.Cast<byte, ushort>(row));
    }
}
