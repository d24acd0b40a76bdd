using System.Buffers.Binary;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using Xunit;

namespace Pipeline.Tests.Protocol.Links;

/// <summary>Frames whose sender waits for their memory.</summary>
public sealed class AwaitedFrameTests
{
    [Fact]
    public void Behind_frames_whose_memory_is_awaited_the_receiver_is_asked_for_its_receipt_and_behind_others_not()
    {
        using var pings = new CountdownEvent(1);
        // Nobody asks for anything else, and nobody is given up for it.
        var settings = TestLinks.Settings with { Heartbeat = TimeSpan.FromHours(1), Silence = TimeSpan.FromHours(2) };
        using var sender = LinkHub.Start(TestLinks.Options("a") with { Settings = settings, Shape = transport => new PingCounter(transport, () => pings.Signal()) }, _ => { });
        using var receiver = LinkHub.Start(TestLinks.Options("b") with { Settings = settings }, _ => { });
        using var sink = new RecordingSink();
        using var receiving = receiver.Receive(LinkPurpose.Frames, TestLinks.Run, Generation.First, 1, sink);
        using var link = sender.Open(receiver.Address, TestLinks.Claim(), LinkKindChoice.Unix);
        using var handedBack = new SemaphoreSlim(0);
        link.Send(1, 100, handedBack: (_, _) => handedBack.Release());
        Assert.True(handedBack.Wait(TestLinks.Patience));
        Assert.Equal(1, pings.CurrentCount);
        link.Send(TestLinks.Header(2, 100), new Awaited(TestLinks.Bytes(2, 100), () => handedBack.Release()));
        Assert.True(handedBack.Wait(TestLinks.Patience));
        Assert.True(pings.Wait(TestLinks.Patience));
        // One more would be signalled below zero, which throws where it is written.
        link.Send(3, 100, handedBack: (_, _) => handedBack.Release());
        Assert.True(handedBack.Wait(TestLinks.Patience));
        for (var number = 1; number <= 3; number++) sink.Take().Buffer.Dispose();
        Assert.Equal(0, link.Status.ReconnectCount);
    }

    private sealed class Awaited(byte[] bytes, Action handedBack) : IFramePayload
    {
        public bool IsAwaited => true;

        public ReadOnlyMemory<byte> BytesOf(int tensor) => bytes;

        public void HandBack(FrameKey key, FrameOutcome outcome) => handedBack();
    }

    private sealed class PingCounter(ILinkTransport inner, Action pinged) : ILinkTransport
    {
        public LinkKind Kind => inner.Kind;

        public string Source => inner.Source;

        public bool CanSend => inner.CanSend;

        public TimeSpan? ReceiveTimeout
        {
            set => inner.ReceiveTimeout = value;
        }

        public void Send(ReadOnlySpan<byte> head, ReadOnlySpan<byte> body)
        {
            if (head.Length == LinkRecord.Length && BinaryPrimitives.ReadUInt32LittleEndian(head) == (uint)LinkRecordKind.Ping) pinged();
            inner.Send(head, body);
        }

        public int Receive(Span<byte> into, Span<byte> spare) => inner.Receive(into, spare);

        public bool AwaitData(TimeSpan patience) => inner.AwaitData(patience);

        public void Close() => inner.Close();

        public void Dispose() => inner.Dispose();
    }
}
