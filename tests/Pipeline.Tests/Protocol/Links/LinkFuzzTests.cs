using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using Xunit;

namespace Pipeline.Tests.Protocol.Links;

/// <summary>Whatever bytes come over a link, reading them ends in a value or in one of the wire's own exceptions, and takes no more memory than a header may. See <see cref="FuzzCases"/>.</summary>
public sealed class LinkFuzzTests
{
    private const long MaxAllocation = 64 * 1024;

    [Fact]
    public void Frames_end_in_a_value_or_a_frame_exception() => Fuzz(
        [.. WireFuzz.Frames()], bytes => TensorFrameCodec.Decode(bytes, WireFuzz.Limits), fault => fault is FrameException);

    [Fact]
    public void Hellos_that_are_sealed_well_end_in_a_value_or_a_protocol_exception() => Fuzz(
        [.. WireFuzz.Hellos()], bytes => WireFuzz.OpenSealed<LinkHello>(bytes), fault => fault is LinkProtocolException);

    [Fact]
    public void Welcomes_that_are_sealed_well_end_in_a_value_or_a_protocol_exception() => Fuzz(
        [.. WireFuzz.Welcomes()], bytes => WireFuzz.OpenSealed<LinkWelcome>(bytes), fault => fault is LinkProtocolException);

    [Fact]
    public void First_bytes_of_a_connection_end_in_a_protocol_exception() => Fuzz(
        [.. WireFuzz.Openings()],
        bytes => HandshakeEnvelope.Open<LinkHello>(new TransportReader(new BytesTransport(bytes)), new HandshakeSecret([], true, 1, 0)),
        fault => fault is LinkProtocolException or LinkVersionException or EndOfStreamException or System.Security.Authentication.AuthenticationException);

    [Fact]
    public void Streams_of_a_peer_that_was_let_in_end_in_frames_or_in_an_exception_of_the_wire() => Fuzz(
        [.. WireFuzz.Streams()], WireFuzz.ReadStream, fault => fault is LinkProtocolException or FrameException or FrameCorruptException or IOException, 4 * MaxAllocation);

    private static void Fuzz(byte[][] valid, Action<byte[]> read, Func<Exception, bool> isAllowed, long maxAllocation = MaxAllocation) =>
        FuzzCases.Run(valid, (_, bytes) => read(bytes), isAllowed, maxAllocation);
}

/// <summary>Bytes that are all there, and then the end.</summary>
internal sealed class BytesTransport(byte[] bytes) : ILinkTransport
{
    private int _place;

    public LinkKind Kind => LinkKind.Tcp;

    public string Source => "bytes";

    public bool CanSend => true;

    public TimeSpan? ReceiveTimeout
    {
        set => _ = value;
    }

    public void Send(ReadOnlySpan<byte> head, ReadOnlySpan<byte> body)
    {
    }

    public int Receive(Span<byte> into, Span<byte> spare)
    {
        var count = Math.Min(into.Length, bytes.Length - _place);
        bytes.AsSpan(_place, count).CopyTo(into);
        _place += count;
        return count;
    }

    public bool AwaitData(TimeSpan patience) => true;

    public void Close()
    {
    }

    public void Dispose()
    {
    }
}
