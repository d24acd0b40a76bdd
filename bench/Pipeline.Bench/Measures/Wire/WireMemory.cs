using System.Buffers;
using System.Runtime.InteropServices;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;

namespace Pipeline.Bench.Measures.Wire;

/// <summary>One block of native memory, used by both ways in turn: as what is sent, or as where it is received.</summary>
internal sealed unsafe class WireMemory : MemoryManager<byte>, IFramePayload, IFrameBuffer
{
    private readonly byte* _block;
    private readonly int _length;

    /// <summary>Memory that has been touched, so that no page is new when it is measured.</summary>
    internal WireMemory(int length)
    {
        _length = length;
        _block = (byte*)NativeMemory.AlignedAlloc((nuint)length, 64);
        for (var index = 0; index < length; index++) _block[index] = (byte)(index * 37 + (index >> 10));
    }

    /// <summary>Bytes of the frames that are measured now.</summary>
    internal int FrameBytes { get; set; }

    /// <summary>Called for each frame that a link has handed back.</summary>
    internal Action? HandedBack { get; set; }

    /// <inheritdoc/>
    public override Span<byte> GetSpan() => new(_block, _length);

    /// <inheritdoc/>
    public override MemoryHandle Pin(int elementIndex = 0) => new(_block + elementIndex);

    /// <inheritdoc/>
    public override void Unpin()
    {
    }

    /// <inheritdoc/>
    public void HandBack(FrameKey key, FrameOutcome outcome) => HandedBack?.Invoke();

    /// <inheritdoc/>
    public void Dispose()
    {
        // A frame's buffer goes back to be used for the next one.
    }

    /// <summary>The first bytes.</summary>
    internal Span<byte> Span(int length) => GetSpan()[..length];

    ReadOnlyMemory<byte> IFramePayload.BytesOf(int tensor) => Memory[..FrameBytes];

    Memory<byte> IFrameBuffer.BytesOf(int tensor) => Memory[..FrameBytes];

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => NativeMemory.AlignedFree(_block);
}
