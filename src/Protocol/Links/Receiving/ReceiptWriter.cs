using System.Buffers.Binary;

namespace Pipeline.Protocol.Links;

/// <summary>
/// Tells the sender what was received and consumed. A receipt is due when the link is idle or a good piece is not told yet, so that a flood
/// of frames is not answered one by one. It never blocks a consumer: what cannot be written at once is told with the next
/// receipt, which holds totals.
/// </summary>
internal sealed class ReceiptWriter(ILinkTransport transport, ReceiveState state, long window)
{
    // Answering costs two wake-ups: little beside moving so many bytes, and the sender gets its memory back soon.
    private const long PieceBytes = 2 << 20;

    private readonly long _piece = Math.Min(PieceBytes, window / 8);
    private readonly Lock _gate = new();
    private readonly byte[] _record = new byte[LinkRecord.ReceiptLength];
    private ulong _toldReceived;
    private long _toldConsumed;
    private long _byteCount;

    /// <summary>Bytes written so far.</summary>
    internal long ByteCount => Volatile.Read(ref _byteCount);

    /// <summary>What the welcome told.</summary>
    internal void Begin(ulong received, long consumed) => (_toldReceived, _toldConsumed) = (received, consumed);

    /// <summary>Tells what is not told yet.</summary>
    /// <param name="isIdle">Whether nothing more is on its way, so that waiting for more to tell would only delay the sender.</param>
    /// <param name="isAnswer">Whether the sender asked: it is told even if there is nothing new.</param>
    internal void Write(bool isIdle, bool isAnswer = false)
    {
        lock (_gate)
        {
            var (received, consumed, _) = state.Totals;
            var isNews = received != _toldReceived || consumed != _toldConsumed;
            var isDue = consumed - _toldConsumed >= _piece || isIdle;
            if (!(isAnswer || (isNews && isDue)) || !transport.CanSend) return;
            new LinkRecord(LinkRecordKind.Receipt, 0, received).Write(_record);
            BinaryPrimitives.WriteInt64LittleEndian(_record.AsSpan(LinkRecord.Length), consumed);
            transport.Send(_record, []);
            (_toldReceived, _toldConsumed) = (received, consumed);
            Volatile.Write(ref _byteCount, _byteCount + _record.Length);
        }
    }

    /// <summary>Tells the sender why the connection ends; what it cannot take at once is lost.</summary>
    internal void Reject(LinkVerdict verdict, Generation generation)
    {
        lock (_gate)
        {
            if (!transport.CanSend) return;
            var record = new byte[LinkRecord.Length];
            new LinkRecord(LinkRecordKind.Rejection, (uint)verdict, (ulong)generation.Number).Write(record);
            transport.Send(record, []);
        }
    }
}
