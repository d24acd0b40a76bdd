using System.Buffers.Binary;

namespace Pipeline.Protocol.Links;

/// <summary>
/// One connection of an outgoing link, after its handshake. The link's thread writes; a thread of the connection's own reads what comes
/// back and tells it.
/// </summary>
internal sealed class SendingConnection : IDisposable
{
    private static readonly TimeSpan FaultPatience = TimeSpan.FromMilliseconds(500);

    private readonly ILinkTransport _transport;
    private readonly TransportReader _reader;
    private readonly Action<ulong, long> _receipt;
    private readonly Action _ended;
    private readonly Thread _receiptThread;

    /// <summary>Begins to read receipts.</summary>
    /// <param name="transport">Owned by the connection.</param>
    /// <param name="reader">Has read the handshake.</param>
    /// <param name="hasChecksum">Whether frames are to be hashed.</param>
    /// <param name="receipt">Takes what was received and what was consumed.</param>
    /// <param name="ended">Called once, when <see cref="Fault"/> is set.</param>
    internal SendingConnection(ILinkTransport transport, TransportReader reader, bool hasChecksum, Action<ulong, long> receipt, Action ended)
    {
        _transport = transport;
        _reader = reader;
        _receipt = receipt;
        _ended = ended;
        Writer = new FrameWriter(transport, hasChecksum);
        _receiptThread = new Thread(ReadReceipts) { IsBackground = true, Name = "link receipts" };
    }

    /// <summary>Writes to the connection.</summary>
    internal FrameWriter Writer { get; }

    /// <summary>Bytes read.</summary>
    internal long BytesReceived => _reader.ByteCount;

    /// <summary>Why it ended; null while it works.</summary>
    internal Exception? Fault { get; private set; }

    /// <summary>Begins to read; not before the link knows the connection.</summary>
    internal void Start() => _receiptThread.Start();

    /// <summary>Waits a moment for the reason of an end that the writer has noticed: a rejection may still be unread.</summary>
    internal Exception? AwaitFault()
    {
        _receiptThread.Join(FaultPatience);
        return Fault;
    }

    /// <summary>Ends it: reading and writing fail.</summary>
    internal void Close() => _transport.Close();

    /// <summary>Ends it and waits for its thread.</summary>
    public void Dispose()
    {
        _transport.Close();
        if (_receiptThread.IsAlive) _receiptThread.Join();
        _transport.Dispose();
    }

    private void ReadReceipts()
    {
        try
        {
            while (true) ReadReceipt();
        }
#pragma warning disable CA1031 // The link's own thread judges it.
        catch (Exception fault)
#pragma warning restore CA1031
        {
            Fault = fault;
        }

        _transport.Close();
        _ended();
    }

    private void ReadReceipt()
    {
        var record = LinkRecord.Read(_reader.Take(LinkRecord.Length).Span);
        if (!_transport.IsTrusted) throw new LinkRejectedException(LinkVerdict.NotAuthenticated, Generation.First, "The receiver's certificate is no longer valid.");
        switch (record.Kind)
        {
            case LinkRecordKind.Receipt:
                _receipt(record.Large, BinaryPrimitives.ReadInt64LittleEndian(_reader.Take(sizeof(long)).Span));
                break;
            case LinkRecordKind.Rejection:
                throw LinkRejectedException.Of(record);
            default:
                throw new LinkProtocolException($"A receiver does not send a {record.Kind}.");
        }
    }
}
