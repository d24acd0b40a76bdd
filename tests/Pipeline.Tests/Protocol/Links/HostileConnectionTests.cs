using System.Net;
using System.Net.Sockets;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using Xunit;

namespace Pipeline.Tests.Protocol.Links;

/// <summary>Who is no hub of ours: costs a connection and one line, and nobody else notices. Rows A3 to A5, F11, F13, F14, F23 of the fault matrix.</summary>
public sealed class HostileConnectionTests : IDisposable
{
    private readonly EventLog _events = new();
    private readonly RecordingSink _sink = new();
    private readonly LinkHub _hub;
    private readonly IDisposable _receiving;

    public HostileConnectionTests()
    {
        // Some tests wait until it is over; those that shake hands must not miss it on a busy machine.
        _hub = LinkHub.Start(TestLinks.Options("b") with { Settings = TestLinks.Settings with { HandshakeTimeout = TimeSpan.FromSeconds(2) } }, _events.Add);
        _receiving = _hub.Receive(LinkPurpose.Frames, TestLinks.Run, Generation.First, 1, _sink);
    }

    public static TheoryData<string, byte[]> Garbage => new()
    {
        { "zeros", new byte[64] },
        { "a request", "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: scanner\r\n\r\n"u8.ToArray() },
        { "a TLS hello", [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03, .. new byte[64]] },
        { "a length of 2^32-1", [0xFF, 0xFF, 0xFF, 0xFF, .. new byte[32]] },
        { "magic and a length too long", [.. "PLK\n"u8, 1, 0, 0xFF, 0xFF, .. new byte[64]] },
        { "magic and a wrong code", [.. "PLK\n"u8, 1, 0, 4, 0, 0x93, 1, 2, 3, .. new byte[32]] },
        { "half a preamble", [.. "PLK\n"u8, 1] },
        { "nothing", [] },
    };

    public void Dispose()
    {
        _receiving.Dispose();
        _hub.Dispose();
        _sink.Dispose();
    }

    [Theory]
    [MemberData(nameof(Garbage))]
    public void Bytes_of_somebody_else_close_the_connection_with_one_warning_and_links_go_on(string what, byte[] bytes)
    {
        using var sender = LinkHub.Start(TestLinks.Options("a"), _ => { });
        using var link = sender.Open(_hub.Address, TestLinks.Claim(), LinkKindChoice.Unix);
        link.Send(1, 100);
        _sink.Take();
        Socket[] sockets = [Connect(), Connect(), Connect()];
        foreach (var socket in sockets) socket.Send(bytes);
        foreach (var socket in sockets)
        {
            Assert.True(IsClosed(socket), what);
            socket.Dispose();
        }

        _events.Expect<LinkWarning>();
        link.Send(2, 100);
        _sink.Take();
        Assert.DoesNotContain(_events.Rest(), raised => raised is LinkWarning or LinkLost);
    }

    [Fact]
    public void Thousands_of_connections_are_turned_away_while_a_link_works()
    {
        using var sender = LinkHub.Start(TestLinks.Options("a"), _ => { });
        using var link = sender.Open(_hub.Address, TestLinks.Claim(), LinkKindChoice.Unix);
        // Ten thousand, of which a process may hold a thousand at a time.
        for (var round = 0; round < 10; round++)
        {
            List<Socket> sockets = [];
            for (var number = 0; number < 1000; number++)
            {
                sockets.Add(Connect());
                if (number % 100 == 0) link.Send(number, 1000);
            }

            for (var count = 0; count < 10; count++) _sink.Take();
            sockets.ForEach(socket => socket.Dispose());
        }

        _events.Expect<LinkWarning>();
        Assert.DoesNotContain(_events.Rest(), raised => raised is LinkWarning or LinkLost);
        // And those that only held their places have lost them.
        using var late = sender.Open(_hub.Address, TestLinks.Claim(), LinkKindChoice.Tcp);
        late.Send(1, 10);
        _sink.Take();
    }

    [Fact]
    public void A_header_that_lies_is_refused_before_memory_is_taken()
    {
        byte[][] lies =
        [
            Frame(1, Header(FrameDataType.Float32, [1L << 40, 1L << 40], 16)),
            Frame(1, Header(FrameDataType.Float32, [-1], 4)),
            Frame(1, Header(FrameDataType.Float32, [4], 12)),
            Frame(1, Header((FrameDataType)77, [4], 16)),
            Frame(1, Header(FrameDataType.Byte, [9 << 20], 9 << 20)),
            Frame(1, [0xDD, 0x7F, 0xFF, 0xFF, 0xFF]),
            Frame(1, [.. Enumerable.Repeat((byte)0x91, 4000)]),
            [1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0, 0, 0, 0],
            Frame(2, Header(FrameDataType.Byte, [4], 4)),
            Frame(0, Header(FrameDataType.Byte, [4], 4)),
            [99, 0, 0, 0, .. new byte[12]],
            [4, 0, 0, 0, .. new byte[20]],
        ];
        foreach (var lie in lies)
        {
            using var transport = Join(TestLinks.Claim());
            transport.Send(lie, []);
            Assert.Equal(LinkLoss.Protocol, _events.Expect<LinkLost>().Loss);
        }

        Assert.Equal(0, _sink.RentedBytes);
    }

    [Fact]
    public void A_frame_of_another_generation_than_its_link_is_refused()
    {
        using var transport = Join(TestLinks.Claim());
        transport.Send(Frame(1, Written(TestLinks.Header(1, 4, generation: 2))), []);
        Assert.Contains("generation 2", _events.Expect<LinkLost>().Detail, StringComparison.Ordinal);
        Assert.Equal(0, _sink.RentedBytes);
    }

    [Fact]
    public void A_block_that_never_comes_holds_no_memory_for_longer_than_the_connection()
    {
        var transport = Join(TestLinks.Claim());
        transport.Send(Frame(1, Written(TestLinks.Header(1, 4000))), new byte[100]);
        transport.Dispose();
        Assert.Equal(LinkLoss.Closed, _events.Expect<LinkLost>().Loss);
        Assert.Equal(0, _sink.WaitingCount);
    }

    [Fact]
    public void What_was_recorded_of_a_connection_cannot_be_played_again()
    {
        using var first = Join(TestLinks.Claim(), out var hello);
        using var second = SocketTransport.Tcp("127.0.0.1", _hub.Address.TcpPort, TestLinks.Patience);
        second.Send(hello, []);
        _events.Expect<LinkWarning>(warning => warning.Text.Contains("secret", StringComparison.Ordinal));
    }

    [Fact]
    public void Two_versions_name_each_other()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using var link = _hub.Open(_hub.Address with { Incarnation = 1, TcpPort = ((IPEndPoint)listener.LocalEndPoint!).Port }, TestLinks.Claim(), LinkKindChoice.Tcp);
        // It may have given up before it is answered on a busy machine, and calls again.
        Thread answering = new(() => Answer(listener)) { IsBackground = true };
        answering.Start();
        var ended = _events.Expect<LinkEnded>();
        Assert.Equal(LinkVerdict.OtherVersion, ended.Verdict);
        Assert.Contains("version 9", ended.Detail, StringComparison.Ordinal);
        Assert.Contains($"version {HandshakeEnvelope.Version}", ended.Detail, StringComparison.Ordinal);
        using var older = Connect();
        older.Send([.. "PLK\n"u8, 0, 0, 10, 0, .. new byte[42]]);
        Assert.Contains("version 0", _events.Expect<LinkWarning>().Text, StringComparison.Ordinal);
    }

    /// <summary>Greets whoever calls as a later version would, until nobody can call any more.</summary>
    private static void Answer(Socket listener)
    {
        List<Socket> callers = [];
        try
        {
            while (true)
            {
                callers.Add(listener.Accept());
                callers[^1].Send([.. "PLK\n"u8, 9, 0, 0, 0, .. new byte[8]]);
            }
        }
        catch (SocketException)
        {
            callers.ForEach(caller => caller.Dispose());
        }
    }

    private static byte[] Header(FrameDataType type, long[] shape, long claimed)
    {
        var header = TestLinks.Header(1, 4) with { Tensors = [new FrameTensor(type, shape, claimed)] };
        return Written(header);
    }

    private static byte[] Written(FrameHeader header)
    {
        var buffer = new System.Buffers.ArrayBufferWriter<byte>();
        FrameHeaderCodec.WriteFields(buffer, header);
        FrameHeaderCodec.WriteTail(buffer, 1, Math.Max(0, header.Tensors[0].ByteCount));
        return buffer.WrittenSpan.ToArray();
    }

    private static byte[] Frame(ulong number, byte[] header)
    {
        var bytes = new byte[LinkRecord.Length + header.Length];
        new LinkRecord(LinkRecordKind.Frame, (uint)header.Length, number).Write(bytes);
        header.CopyTo(bytes, LinkRecord.Length);
        return bytes;
    }

    private static bool IsClosed(Socket socket)
    {
        socket.ReceiveTimeout = (int)TestLinks.Patience.TotalMilliseconds;
        try
        {
            while (socket.Receive(new byte[256]) > 0)
            {
            }

            return true;
        }
        catch (SocketException fault)
        {
            return fault.SocketErrorCode == SocketError.ConnectionReset;
        }
    }

    private SocketTransport Join(LinkClaim claim) => Join(claim, out _);

    private SocketTransport Join(LinkClaim claim, out byte[] recorded)
    {
        var transport = SocketTransport.Tcp("127.0.0.1", _hub.Address.TcpPort, TestLinks.Patience);
        var reader = new TransportReader(transport);
        var greeting = HandshakeEnvelope.ReadGreeting(reader.Take(HandshakeEnvelope.GreetingLength).Span);
        var hello = new LinkHello("test", "evil", 9, _hub.Address.Incarnation, claim, Handshake.Draw(), 0, 3);
        recorded = HandshakeEnvelope.Seal(hello, new HandshakeSecret([], isConnecting: true, greeting, 0));
        transport.Send(recorded, []);
        var welcome = HandshakeEnvelope.Open<LinkWelcome>(reader, new HandshakeSecret([], isConnecting: false, greeting, 3));
        Assert.Equal(LinkVerdict.Accepted, welcome.Verdict);
        return transport;
    }

    private Socket Connect()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Connect(new IPEndPoint(IPAddress.Loopback, _hub.Address.TcpPort));
        return socket;
    }
}
