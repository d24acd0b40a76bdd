using System.Buffers;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;

namespace Pipeline.Stages;

/// <summary>
/// A piece of a copy's memory, which a link sends from where it lies or receives into where it belongs. Holds the copy until the link lets go.
/// </summary>
internal sealed unsafe class CopyPart : MemoryManager<byte>, IFramePayload, IFrameBuffer
{
    /// <summary>Bytes of a full part: the smallest limit that a link may have.</summary>
    internal const int Length = 1 << 20;

    private readonly byte* _start;
    private readonly int _length;
    private readonly Action<FrameOutcome> _gone;
    private StateCopy? _copy;

    /// <param name="copy">Held by the part from now on, beside its other holders.</param>
    /// <param name="offset">Where the part begins: a multiple of <see cref="Length"/>.</param>
    /// <param name="gone">Told once when the link lets go; on a thread of the link.</param>
    internal CopyPart(StateCopy copy, long offset, Action<FrameOutcome> gone)
    {
        _copy = Copy = copy.Share();
        _start = copy.At(offset);
        (Offset, _length, _gone) = (offset, LengthAt(copy, offset), gone);
    }

    /// <summary>The copy, to tell it from others.</summary>
    internal StateCopy Copy { get; }

    /// <summary>Where the part begins.</summary>
    internal long Offset { get; }

    /// <summary>Bytes of the part that begins at an offset.</summary>
    internal static int LengthAt(StateCopy copy, long offset) => (int)Math.Min(Length, copy.ByteCount - offset);

    /// <summary>What a frame of the part begins with.</summary>
    internal FrameHeader Header(int inlet) => new(
        new FrameKey(new StepKey(Copy.Id.Run, Copy.Id.PartitionedIn, 0, Copy.Id.Step), Copy.Id.Rank, checked((int)(Offset / Length)), inlet, FrameKind.StateCopy),
        [new FrameTensor(FrameDataType.Byte, [_length], _length)]);

    /// <inheritdoc/>
    public void HandBack(FrameKey key, FrameOutcome outcome) => Free(outcome);

    /// <inheritdoc/>
    public override Span<byte> GetSpan() => new(_start, _length);

    /// <inheritdoc/>
    public override MemoryHandle Pin(int elementIndex = 0) => new(_start + elementIndex);

    /// <inheritdoc/>
    public override void Unpin()
    {
    }

    /// <inheritdoc/>
    public void Dispose() => Free(FrameOutcome.Abandoned);

    ReadOnlyMemory<byte> IFramePayload.BytesOf(int tensor) => Memory;

    Memory<byte> IFrameBuffer.BytesOf(int tensor) => Memory;

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => Free(FrameOutcome.Abandoned);

    private void Free(FrameOutcome outcome)
    {
        if (Interlocked.Exchange(ref _copy, null) is not { } copy) return;
        copy.Dispose();
        _gone(outcome);
    }
}
