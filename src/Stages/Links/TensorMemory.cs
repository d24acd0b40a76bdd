using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// A contiguous tensor in host memory as bytes that a link can read from and write into: nothing is copied on its way. Owns the tensor until
/// it is handed back, taken or disposed.
/// </summary>
internal sealed unsafe class TensorMemory : MemoryManager<byte>, IFramePayload, IFrameBuffer
{
    private readonly byte* _start;
    private readonly int _length;
    private Tensor? _tensor;

    /// <summary>Takes ownership of a tensor that lies in host memory, row by row.</summary>
    internal TensorMemory(Tensor tensor)
    {
        var bytes = tensor.bytes;
        _tensor = tensor;
        _length = bytes.Length;
        // Native memory: it does not move, and lives as long as the tensor.
        _start = (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(bytes));
    }

    /// <summary>Room for what a header announces: one tensor.</summary>
    /// <exception cref="FrameException">The frame holds another number of tensors.</exception>
    internal static TensorMemory For(FrameHeader header)
    {
        if (header.Tensors.Count != 1) throw new FrameException($"Tensor frame {header.Key}: stages exchange one tensor a frame, it holds {header.Tensors.Count}.");
        using var guard = no_grad();
        var tensor = header.Tensors[0];
        return new TensorMemory(empty([.. tensor.Shape], TensorBytes.TorchType(tensor.DataType), CPU).DetachFromDisposeScope());
    }

    /// <summary>Gives the tensor away.</summary>
    internal Tensor Take() => Interlocked.Exchange(ref _tensor, null) ?? throw new InvalidOperationException("The tensor of a frame was taken twice.");

    /// <inheritdoc/>
    ReadOnlyMemory<byte> IFramePayload.BytesOf(int tensor) => Memory;

    /// <inheritdoc/>
    Memory<byte> IFrameBuffer.BytesOf(int tensor) => Memory;

    /// <inheritdoc/>
    public void HandBack(FrameKey key, FrameOutcome outcome) => Free();

    /// <inheritdoc/>
    public void Dispose() => Free();

    /// <inheritdoc/>
    public override Span<byte> GetSpan() => new(_start, _length);

    /// <inheritdoc/>
    public override MemoryHandle Pin(int elementIndex = 0) => new(_start + elementIndex);

    /// <inheritdoc/>
    public override void Unpin()
    {
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => Free();

    private void Free() => Interlocked.Exchange(ref _tensor, null)?.Dispose();
}
