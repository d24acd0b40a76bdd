using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Pipeline.Reduction.Summation;

namespace Pipeline.Reduction.Compression;

/// <summary>
/// Blockwise quantisation: for each 128 elements a bfloat16 scale and then 128 bytes (int8, 3.94 times fewer bytes than fp32) or 64
/// (int4, 7.76 times fewer). The last block is filled up with zeros.
/// </summary>
public sealed class BlockCompressor : ICompressor
{
    private const int Length = BlockScale.BlockLength;
    private readonly Rounding _rounding;
    private readonly int _blockByteCount;
    private readonly float _highestLevel;

    /// <summary>A quantiser.</summary>
    /// <param name="kind"><see cref="CompressionKind.Int8"/> or <see cref="CompressionKind.Int4"/>.</param>
    /// <param name="rounding">How elements between two levels are rounded.</param>
    public BlockCompressor(CompressionKind kind, Rounding rounding)
    {
        if (kind is not (CompressionKind.Int8 or CompressionKind.Int4)) throw new ArgumentException($"{kind} is not quantised by block.", nameof(kind));
        Kind = kind;
        _rounding = rounding;
        _blockByteCount = sizeof(ushort) + (kind == CompressionKind.Int8 ? Length : NibblePacking.PackedLength);
        _highestLevel = kind == CompressionKind.Int8 ? 127 : 7;
    }

    /// <inheritdoc/>
    public CompressionKind Kind { get; }

    /// <inheritdoc/>
    public int MaxByteCount(int length) => checked((int)(((long)length + Length - 1) / Length * _blockByteCount));

    /// <summary>Whether it computes in the widest vectors: the bits are the same.</summary>
    internal bool IsWide { get; init; } = WideBlockKernels.IsSupported;

    /// <inheritdoc/>
    public int Compress(ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, RoundingKey key) => Compress(input, residual, payload, key, owes: false);

    /// <inheritdoc/>
    public int CompressWithFeedback(ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, RoundingKey key) =>
        Compress(input, residual[..input.Length], payload, key, owes: true);

    /// <inheritdoc/>
    public void Decompress(ReadOnlySpan<byte> payload, Span<float> output)
    {
        PayloadLength.Require(Kind, payload.Length, MaxByteCount(output.Length));
        Span<sbyte> levels = stackalloc sbyte[Length];
        var start = 0;
        for (; start <= output.Length - Length; start += Length)
        {
            Decode(payload, levels, output.Slice(start, Length));
            payload = payload[_blockByteCount..];
        }

        if (start == output.Length) return;
        Span<float> tail = stackalloc float[Length];
        Decode(payload, levels, tail);
        tail[..(output.Length - start)].CopyTo(output[start..]);
    }

    private int Compress(ReadOnlySpan<float> input, Span<float> residual, Span<byte> payload, RoundingKey key, bool owes)
    {
        var workspace = new Workspace(stackalloc float[Length], stackalloc sbyte[Length], stackalloc uint[CounterRandom.BlockLength]);
        var byteCount = MaxByteCount(input.Length);
        var (start, block) = (0, 0u);
        for (; start <= input.Length - Length; start += Length, block++)
        {
            scoped ReadOnlySpan<float> values = input.Slice(start, Length);
            var lost = residual.IsEmpty ? workspace.Residual : residual.Slice(start, Length);
            if (owes)
            {
                SpanSum.Add(values, lost, lost);
                values = lost;
            }

            Encode(values, lost, payload.Slice((int)block * _blockByteCount, _blockByteCount), workspace, key, block);
        }

        if (start == input.Length) return byteCount;
        Span<float> tail = stackalloc float[Length];
        tail.Clear();
        input[start..].CopyTo(tail);
        var rest = tail[..(input.Length - start)];
        if (owes) SpanSum.Add(rest, residual[start..], rest);
        Encode(tail, tail, payload.Slice((int)block * _blockByteCount, _blockByteCount), workspace, key, block);
        if (!residual.IsEmpty) rest.CopyTo(residual[start..]);
        return byteCount;
    }

    private void Encode(ReadOnlySpan<float> block, Span<float> residual, Span<byte> target, Workspace workspace, RoundingKey key, uint number)
    {
        var scale = BlockScale.Of(block, _highestLevel);
        BinaryPrimitives.WriteUInt16LittleEndian(target, scale);
        var bytes = target[sizeof(ushort)..];
        var levels = Kind == CompressionKind.Int8 ? MemoryMarshal.Cast<byte, sbyte>(bytes) : workspace.Levels;
        if (!(BlockScale.Value(scale) > 0))
        {
            // All elements are 0 (or too small for any scale) and stay in the residual; or one is not finite and the scale tells.
            levels.Clear();
            block.CopyTo(residual);
        }
        else if (_rounding == Rounding.Nearest)
        {
            if (IsWide) WideBlockKernels.RoundNearest(block, residual, levels, BlockScale.Value(scale), _highestLevel);
            else BlockKernels.RoundNearest(block, residual, levels, BlockScale.Value(scale), _highestLevel);
        }
        else
        {
            CounterRandom.Fill(workspace.Words, key, number);
            if (IsWide) WideBlockKernels.RoundStochastic(block, residual, levels, BlockScale.Value(scale), _highestLevel, workspace.Words);
            else BlockKernels.RoundStochastic(block, residual, levels, BlockScale.Value(scale), _highestLevel, workspace.Words);
        }

        if (Kind == CompressionKind.Int4) NibblePacking.Pack(levels, bytes);
    }

    private void Decode(ReadOnlySpan<byte> source, Span<sbyte> levels, Span<float> block)
    {
        var scale = BlockScale.Value(BinaryPrimitives.ReadUInt16LittleEndian(source));
        var bytes = source[sizeof(ushort).._blockByteCount];
        if (Kind == CompressionKind.Int8)
        {
            Restore(MemoryMarshal.Cast<byte, sbyte>(bytes), scale, block);
            return;
        }

        NibblePacking.Unpack(bytes, levels);
        Restore(levels, scale, block);
    }

    private void Restore(ReadOnlySpan<sbyte> levels, float scale, Span<float> block)
    {
        if (IsWide) WideBlockKernels.Restore(levels, scale, block);
        else BlockKernels.Restore(levels, scale, block);
    }

    private readonly ref struct Workspace(Span<float> residual, Span<sbyte> levels, Span<uint> words)
    {
        internal readonly Span<float> Residual = residual;
        internal readonly Span<sbyte> Levels = levels;
        internal readonly Span<uint> Words = words;
    }
}
