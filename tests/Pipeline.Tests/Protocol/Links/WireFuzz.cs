using System.Buffers.Binary;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;

namespace Pipeline.Tests.Protocol.Links;

/// <summary>Valid bytes of all that goes over a link, and seeded ways to spoil them.</summary>
internal static class WireFuzz
{
    internal static readonly FrameLimits Limits = new(4, 4, 1 << 16);

    private static readonly byte[] NastyBytes = [0x00, 0x01, 0x7F, 0x80, 0x90, 0x9F, 0xC0, 0xC1, 0xC4, 0xC6, 0xC7, 0xC9, 0xCB, 0xCF, 0xD3, 0xD9, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 0xFF];

    internal static IEnumerable<byte[]> Frames() => FrameValues().Select(TensorFrameCodec.Encode);

    internal static IEnumerable<byte[]> Hellos() =>
    [
        Body(new LinkHello("cluster", "node-1", 1, 2, TestLinks.Claim(), 3, 4, 5)),
        Body(new LinkHello("", "", ulong.MaxValue, 0, LinkClaim.Probe, 0, ulong.MaxValue, 1)),
    ];

    internal static IEnumerable<byte[]> Welcomes() =>
    [
        Body(new LinkWelcome(LinkVerdict.Accepted, Generation.First, 5, 6, 7, "")),
        Body(new LinkWelcome(LinkVerdict.Fenced, new Generation(9), 0, 0, 0, "replaced")),
    ];

    internal static IEnumerable<byte[]> Openings() => [Sealed(new LinkHello("cluster", "node-1", 1, 2, TestLinks.Claim(), 3, 4, 5))];

    /// <summary>What a sender writes after its handshake: frames, a ping, a farewell.</summary>
    internal static IEnumerable<byte[]> Streams()
    {
        var number = 0ul;
        List<byte> stream = [];
        foreach (var frame in FrameValues())
        {
            var encoded = TensorFrameCodec.Encode(frame);
            stream.AddRange(Record(LinkRecordKind.Frame, (uint)(encoded.Length - frame.Bytes.Length), ++number));
            stream.AddRange(encoded);
            yield return [.. stream, .. Record(LinkRecordKind.Ping, 0, 0), .. Record(LinkRecordKind.Farewell, 0, 0)];
        }
    }

    internal static T OpenSealed<T>(byte[] body)
    {
        var secret = new HandshakeSecret([1], true, 1, 0);
        var bytes = new byte[8 + body.Length + 32];
        "PLK\n"u8.CopyTo(bytes);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(4), HandshakeEnvelope.Version);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(6), (ushort)body.Length);
        body.CopyTo(bytes, 8);
        secret.CodeOf(body, bytes.AsSpan(8 + body.Length));
        return HandshakeEnvelope.Open<T>(new TransportReader(new BytesTransport(bytes)), secret);
    }

    internal static void ReadStream(byte[] bytes)
    {
        var transport = new BytesTransport(bytes);
        var state = new ReceiveState(new LinkPeer("peer", 1, LinkKind.Tcp, TestLinks.Claim()));
        using var sink = new DroppingSink();
        var connection = new IncomingConnection(
            transport, new TransportReader(transport), state, sink, TestLinks.Settings with { Limits = Limits }, _ => Generation.First);
        connection.Run(_ => { });
    }

    internal static byte[] Mutate(byte[] valid, Random random)
    {
        List<byte> bytes = [.. valid];
        for (var count = random.Next(1, 5); count > 0; count--) MutateOnce(bytes, random);
        return [.. bytes];
    }

    private static void MutateOnce(List<byte> bytes, Random random)
    {
        var place = random.Next(bytes.Count + 1);
        switch (random.Next(7))
        {
            case 0 when place < bytes.Count:
                bytes[place] = (byte)random.Next(256);
                break;
            case 1 when place < bytes.Count:
                bytes[place] = NastyBytes[random.Next(NastyBytes.Length)];
                break;
            case 2 when place < bytes.Count:
                bytes[place] ^= (byte)(1 << random.Next(8));
                break;
            case 3:
                bytes.RemoveRange(place, Math.Min(random.Next(1, 16), bytes.Count - place));
                break;
            case 4:
                bytes.InsertRange(place, Enumerable.Range(0, random.Next(1, 16)).Select(_ => NastyBytes[random.Next(NastyBytes.Length)]));
                break;
            case 5:
                bytes.InsertRange(place, [(byte)random.Next(0xC4, 0xE0), 0xFF, 0xFF, 0xFF, 0xFF]);
                break;
            default:
                bytes.InsertRange(place, Enumerable.Repeat((byte)random.Next(0x90, 0xA0), random.Next(1, 600)));
                break;
        }
    }

    private static IEnumerable<TensorFrame> FrameValues() =>
    [
        Frame(),
        Frame(new FrameTensor(FrameDataType.Float32, [2, 3], 24)),
        Frame(new FrameTensor(FrameDataType.BFloat16, [5], 10), new FrameTensor(FrameDataType.Int64, [], 8)),
        Frame(new FrameTensor(FrameDataType.Byte, [3000], 3000)),
    ];

    private static TensorFrame Frame(params FrameTensor[] tensors) => new(TestLinks.Header(3, 1).Key, tensors, TestLinks.Bytes(1, (int)TensorFrame.BlockLength(tensors)));

    private static byte[] Record(LinkRecordKind kind, uint small, ulong large)
    {
        var bytes = new byte[LinkRecord.Length];
        new LinkRecord(kind, small, large).Write(bytes);
        return bytes;
    }

    private static byte[] Sealed<T>(T message) => HandshakeEnvelope.Seal(message, new HandshakeSecret([], true, 1, 0));

    private static byte[] Body<T>(T message)
    {
        var bytes = Sealed(message);
        return bytes[8..^32];
    }

    private sealed class DroppingSink : IFrameSink, IDisposable
    {
        private readonly FrameBufferPool _pool = new(0);

        public IFrameBuffer Rent(LinkPeer from, FrameHeader header) => _pool.Rent(header);

        public void Arrived(ArrivedFrame frame)
        {
            frame.Consume();
            frame.Buffer.Dispose();
        }

        public void Dispose() => _pool.Dispose();
    }
}
