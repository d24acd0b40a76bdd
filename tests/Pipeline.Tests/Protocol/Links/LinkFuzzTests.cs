using System.Globalization;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using Xunit;

namespace Pipeline.Tests.Protocol.Links;

/// <summary>
/// Whatever bytes come, reading them ends in a value or in one of the wire's own exceptions, and takes no more memory than a header may.
/// <c>PIPELINE_FUZZ_CASES</c> says how many (a million were run), <c>PIPELINE_FUZZ_SEED</c> from which seed on.
/// </summary>
public sealed class LinkFuzzTests
{
    private const long MaxAllocation = 64 * 1024;

    private static int CaseCount => int.Parse(Environment.GetEnvironmentVariable("PIPELINE_FUZZ_CASES") ?? "5000", CultureInfo.InvariantCulture);

    private static int FirstSeed => int.Parse(Environment.GetEnvironmentVariable("PIPELINE_FUZZ_SEED") ?? "1", CultureInfo.InvariantCulture);

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

    private static void Fuzz(byte[][] valid, Action<byte[]> read, Func<Exception, bool> isAllowed, long maxAllocation = MaxAllocation)
    {
        foreach (var bytes in valid) read(bytes);
        for (var seed = FirstSeed; seed < FirstSeed + CaseCount; seed++)
        {
            var bytes = WireFuzz.Mutate(valid[seed % valid.Length], new Random(seed));
            var before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                read(bytes);
            }
            catch (Exception fault) when (isAllowed(fault))
            {
                // What is wanted of most of these bytes.
            }
            catch (Exception fault)
            {
                throw new InvalidOperationException($"Seed {seed}: {Convert.ToHexString(bytes)}", fault);
            }

            var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(allocated <= maxAllocation, $"Seed {seed}: {allocated} bytes were allocated for {bytes.Length}: {Convert.ToHexString(bytes)}");
        }
    }
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
