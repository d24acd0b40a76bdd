using System.Buffers;
using System.Runtime.InteropServices;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// The bytes of a row-major tensor in the processor's memory, where a link sends them from or receives them into without a copy. Owns the
/// tensor (or an alias of it) until it is handed back, disposed, or given away by <see cref="Take"/>.
/// </summary>
internal sealed unsafe class TensorMemory : MemoryManager<byte>, IFramePayload, IFrameBuffer
{
    private readonly byte* _start;
    private readonly int _length;
    private readonly TensorLoan? _loan;
    private readonly Action? _returned;
    private Tensor? _tensor;

    private TensorMemory(Tensor tensor, TensorLoan? loan = null, Action? returned = null)
    {
        (_tensor, _loan, _returned) = (tensor, loan, returned);
        var bytes = tensor.bytes;
        _length = bytes.Length;
        // Native memory, which stays where it is as long as the tensor is alive.
        _start = (byte*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref MemoryMarshal.GetReference(bytes));
    }

    /// <summary>A tensor to send, which stays the caller's: the memory lives until both have let go of it.</summary>
    /// <param name="tensor">The tensor.</param>
    /// <param name="loan">Told when the memory is no longer read; null where nobody waits for that.</param>
    internal static TensorMemory ToSend(Tensor tensor, TensorLoan? loan = null)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var onHost = tensor.device_type == DeviceType.CPU ? tensor.detach() : tensor.cpu();
        return new TensorMemory(onHost.contiguous().DetachFromDisposeScope(), loan);
    }

    /// <summary>Memory for a tensor that is about to arrive, aligned as every tensor of the library.</summary>
    internal static TensorMemory ToReceive(FrameTensor header)
    {
        using var guard = no_grad();
        return new TensorMemory(empty([.. header.Shape], TensorBytes.TorchType(header.DataType), CPU).DetachFromDisposeScope());
    }

    /// <summary>The place of a tensor that is about to arrive.</summary>
    /// <param name="place">Names the memory; owned from now on.</param>
    /// <param name="returned">Called if it does not arrive.</param>
    internal static TensorMemory ToReceive(Tensor place, Action returned) => new(place, returned: returned);

    /// <summary>Whether the memory is where the tensor is to lie in the end.</summary>
    internal bool IsInPlace => _returned is not null;

    /// <summary>What a frame of the tensor begins with.</summary>
    /// <param name="key">Which it is.</param>
    /// <param name="span">The span that it is sent from; 0 for none.</param>
    internal FrameHeader Header(FrameKey key, ulong span = 0) => new(key, [new FrameTensor(TensorBytes.WireType(_tensor!.dtype), _tensor.shape, _length)], span);

    /// <summary>The tensor, which is the caller's from now on.</summary>
    internal Tensor Take()
    {
        var tensor = _tensor!;
        _tensor = null;
        return tensor;
    }

    /// <inheritdoc/>
    public bool IsAwaited => _loan is { IsAwaited: true };

    /// <inheritdoc/>
    public void Sent() => _loan?.Sent();

    /// <inheritdoc/>
    public void HandBack(FrameKey key, FrameOutcome outcome) => Free();

    /// <inheritdoc/>
    public override Span<byte> GetSpan() => new(_start, _length);

    /// <inheritdoc/>
    public override MemoryHandle Pin(int elementIndex = 0) => new(_start + elementIndex);

    /// <inheritdoc/>
    public override void Unpin()
    {
    }

    /// <inheritdoc/>
    public void Dispose() => Free();

    ReadOnlyMemory<byte> IFramePayload.BytesOf(int tensor) => Memory;

    Memory<byte> IFrameBuffer.BytesOf(int tensor) => Memory;

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => Free();

    private void Free()
    {
        var isLeft = _tensor is not null;
        _tensor?.Dispose();
        _tensor = null;
        _loan?.End();
        if (isLeft) _returned?.Invoke();
    }
}
