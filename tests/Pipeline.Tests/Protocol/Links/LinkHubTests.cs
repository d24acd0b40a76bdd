using System.Runtime.InteropServices;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using Xunit;

namespace Pipeline.Tests.Protocol.Links;

public sealed class LinkHubTests : IDisposable
{
    private readonly EventLog _sent = new();
    private readonly EventLog _received = new();
    private readonly RecordingSink _sink = new();
    private readonly LinkHub _sender;
    private readonly LinkHub _receiver;

    public LinkHubTests()
    {
        _sender = LinkHub.Start(TestLinks.Options("a"), _sent.Add);
        _receiver = LinkHub.Start(TestLinks.Options("b"), _received.Add);
    }

    public void Dispose()
    {
        _sender.Dispose();
        _receiver.Dispose();
        _sink.Dispose();
    }

    [Theory]
    [InlineData(LinkKindChoice.Unix, LinkKind.Unix)]
    [InlineData(LinkKindChoice.Tcp, LinkKind.Tcp)]
    [InlineData(LinkKindChoice.Automatic, LinkKind.Unix)]
    public void Frames_arrive_in_order_with_their_bytes_and_are_acknowledged(LinkKindChoice choice, LinkKind kind)
    {
        using var receiving = Receive();
        using var link = _sender.Open(_receiver.Address, TestLinks.Claim(), choice);
        Assert.Equal(kind, link.Peer.Kind);
        using var acknowledged = new CountdownEvent(50);
        for (var number = 0; number < 50; number++)
            link.Send(number, 1 + number * 4001, handedBack: (_, outcome) => acknowledged.Signal(outcome == FrameOutcome.Acknowledged ? 1 : 0));
        for (var number = 0; number < 50; number++)
        {
            var arrival = _sink.Take();
            Assert.Equal(TestLinks.Header(number, 1 + number * 4001).Key, arrival.Header.Key);
            Assert.True(arrival.Buffer.BytesOf(0).Span.SequenceEqual(TestLinks.Bytes(number, 1 + number * 4001)));
            arrival.Buffer.Dispose();
        }

        Assert.True(acknowledged.Wait(TestLinks.Patience));
        Assert.Equal(50, link.Status.FrameCount);
        Assert.Equal(0, link.Status.QueuedBytes);
    }

    [Fact]
    public unsafe void Several_tensors_lie_at_multiples_of_64_bytes_at_the_receiver()
    {
        using var receiving = Receive();
        using var link = _sender.Open(_receiver.Address, TestLinks.Claim(), LinkKindChoice.Unix);
        var header = TestLinks.Header(0, 1) with { Tensors = [new(FrameDataType.Byte, [3], 3), new(FrameDataType.Float32, [2, 5], 40), new(FrameDataType.Int64, [], 8)] };
        link.Send(header, new MemoryPayload([TestLinks.Bytes(1, 3), TestLinks.Bytes(2, 40), TestLinks.Bytes(3, 8)]));
        var arrival = _sink.Take();
        for (var index = 0; index < 3; index++)
        {
            var bytes = arrival.Buffer.BytesOf(index);
            Assert.True(bytes.Span.SequenceEqual(TestLinks.Bytes(index + 1, (int)header.Tensors[index].ByteCount)));
            fixed (byte* start = &MemoryMarshal.GetReference(bytes.Span)) Assert.Equal(0, (nint)start % 64);
        }
    }

    [Fact]
    public void The_same_payload_can_be_sent_again_to_another_hub_after_it_was_handed_back()
    {
        using var receiving = Receive();
        using var other = new RecordingSink();
        using var third = LinkHub.Start(TestLinks.Options("c"), _received.Add);
        using var alsoReceiving = third.Receive(LinkPurpose.Frames, TestLinks.Run, new Generation(2), 1, other);
        using var handedBack = new SemaphoreSlim(0);
        var payload = new MemoryPayload([TestLinks.Bytes(5, 1000)], (_, _) => handedBack.Release());
        using var first = _sender.Open(_receiver.Address, TestLinks.Claim(), LinkKindChoice.Unix);
        first.Send(TestLinks.Header(5, 1000), payload);
        Assert.True(handedBack.Wait(TestLinks.Patience));
        using var second = _sender.Open(third.Address, TestLinks.Claim(2), LinkKindChoice.Tcp);
        second.Send(TestLinks.Header(5, 1000, 2), payload);
        Assert.True(other.Take().Buffer.BytesOf(0).Span.SequenceEqual(TestLinks.Bytes(5, 1000)));
        Assert.True(handedBack.Wait(TestLinks.Patience));
    }

    [Fact]
    public void A_sender_may_begin_before_the_receiver_takes_frames()
    {
        using var link = _sender.Open(_receiver.Address, TestLinks.Claim(), LinkKindChoice.Unix);
        link.Send(1, 100);
        Assert.Equal(LinkLoss.NotReady, _sent.Expect<LinkLost>().Loss);
        using var receiving = Receive();
        _sink.Take();
        _sent.Expect<LinkConnected>();
    }

    [Fact]
    public void The_end_of_a_process_is_told_at_once_and_refused_is_told_apart()
    {
        var watch = _sender.Watch(_receiver.Address, LinkKindChoice.Tcp);
        _sent.Expect<LinkConnected>();
        _receiver.Dispose();
        Assert.Equal(LinkLoss.Closed, _sent.Expect<LinkLost>().Loss);
        watch.Dispose();
        using var late = _sender.Watch(_receiver.Address, LinkKindChoice.Tcp);
        Assert.Equal(LinkLoss.Refused, _sent.Expect<LinkLost>().Loss);
    }

    [Fact]
    public void An_older_generation_is_refused_and_learns_which_one_replaced_it()
    {
        using var receiving = Receive(2);
        using var link = _sender.Open(_receiver.Address, TestLinks.Claim(), LinkKindChoice.Unix);
        FrameOutcome? outcome = null;
        using var handedBack = new SemaphoreSlim(0);
        link.Send(1, 10, 1, (_, given) => { outcome = given; handedBack.Release(); });
        var ended = _sent.Expect<LinkEnded>();
        Assert.Equal((LinkVerdict.Fenced, new Generation(2)), (ended.Verdict, ended.Generation));
        Assert.True(handedBack.Wait(TestLinks.Patience));
        Assert.Equal((FrameOutcome.Abandoned, 1), (outcome, _receiver.FencedCount));
        outcome = null;
        link.Send(2, 10, 1, (_, given) => { outcome = given; handedBack.Release(); });
        Assert.True(handedBack.Wait(TestLinks.Patience));
        Assert.Equal(FrameOutcome.Abandoned, outcome);
    }

    [Fact]
    public void A_connected_sender_learns_at_once_that_it_was_fenced()
    {
        using var receiving = Receive();
        using var link = _sender.Open(_receiver.Address, TestLinks.Claim(), LinkKindChoice.Tcp);
        link.Send(1, 10);
        _sink.Take();
        _receiver.Fence(TestLinks.Run, new Generation(5));
        var ended = _sent.Expect<LinkEnded>();
        Assert.Equal((LinkVerdict.Fenced, new Generation(5)), (ended.Verdict, ended.Generation));
    }

    [Fact]
    public void A_process_that_took_the_place_of_another_is_not_talked_to()
    {
        using var link = _sender.Open(_receiver.Address with { Incarnation = 1 }, TestLinks.Claim(), LinkKindChoice.Tcp);
        Assert.Equal(LinkVerdict.OtherIncarnation, _sent.Expect<LinkEnded>().Verdict);
    }

    [Fact]
    public void Nodes_of_another_cluster_or_with_another_secret_are_refused()
    {
        using var stranger = LinkHub.Start(TestLinks.Options("x") with { Cluster = "other" }, _received.Add);
        using var link = stranger.Open(_receiver.Address, TestLinks.Claim(), LinkKindChoice.Unix);
        var ended = _received.Expect<LinkEnded>();
        Assert.Equal(LinkVerdict.OtherCluster, ended.Verdict);
        Assert.Contains("'test'", ended.Detail, StringComparison.Ordinal);
        using var thief = LinkHub.Start(TestLinks.Options("y") with { Secret = [1, 2, 3] }, _received.Add);
        using var guess = thief.Open(_receiver.Address, TestLinks.Claim(), LinkKindChoice.Tcp);
        Assert.Equal(LinkVerdict.NotAuthenticated, _received.Expect<LinkEnded>().Verdict);
    }

    [Fact]
    public void A_link_that_is_given_up_hands_everything_back_before_it_can_connect()
    {
        List<FrameOutcome> outcomes = [];
        using var connecting = new ManualResetEventSlim();
        var dialer = new LinkDialer(
            new LinkPeer("b", 1, LinkKind.Tcp, TestLinks.Claim()),
            () =>
            {
                connecting.Wait(TestLinks.Patience);
                throw new IOException("There is no way.");
            },
            new LinkIdentity("test", "a", 5, []),
            TestLinks.Settings);
        var link = new OutgoingLink(dialer, TestLinks.Settings, _ => { });
        link.Start();
        link.Send(1, 100, handedBack: (_, outcome) => outcomes.Add(outcome));
        link.Dispose();
        Assert.Equal([FrameOutcome.Abandoned], outcomes);
        connecting.Set();
    }

    [Fact]
    public void A_frame_over_the_limit_is_refused_before_the_wire()
    {
        using var link = _sender.Open(_receiver.Address, TestLinks.Claim(), LinkKindChoice.Unix);
        var limit = (int)TestLinks.Settings.Limits.MaxByteCount;
        var fault = Assert.Throws<FrameTooLargeException>(() => link.Send(TestLinks.Header(1, limit + 1), new MemoryPayload([new byte[limit + 1]])));
        Assert.Contains("max-frame", fault.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => link.Send(TestLinks.Header(1, 10), new MemoryPayload([new byte[11]])));
        using var receiving = Receive();
        link.Send(2, limit);
        Assert.Equal(2, _sink.Take().Header.Key.MicroBatch);
    }

    private IDisposable Receive(int generation = 1) => _receiver.Receive(LinkPurpose.Frames, TestLinks.Run, new Generation(generation), 1, _sink);
}
