using CsCheck;
using Pipeline.Protocol;
using Pipeline.Protocol.Links;
using Xunit;

namespace Pipeline.Tests.Protocol.Links;

/// <summary>Whatever happens to the connections: each frame once, in order, unaltered; and each payload handed back once.</summary>
public sealed class ExactlyOnceTests
{
    private const int FrameCount = 40;

    [Fact]
    public void Frames_arrive_once_and_in_order_however_connections_are_cut() => Gen.Int[0, int.MaxValue - 1].Sample(seed => Deliver(seed, isAltering: false), iter: 12, threads: 1);

    [Fact]
    public void An_altered_byte_costs_a_connection_and_no_frame() => Gen.Int[0, int.MaxValue - 1].Sample(seed => Deliver(seed, isAltering: true), iter: 12, threads: 1);

    [Fact]
    public void A_frame_that_always_arrives_altered_ends_the_link()
    {
        var events = new EventLog();
        using var receiver = LinkHub.Start(TestLinks.Options("b") with { HasUnix = false, TcpHost = null }, _ => { });
        using var sink = new RecordingSink();
        using var receiving = receiver.Receive(LinkPurpose.Frames, TestLinks.Run, Generation.First, 1, sink);
        using var link = UnsteadyLink.Open(receiver, TestLinks.Claim(), events.Add, 1, _ => (long.MaxValue, 5000));
        var outcomes = new List<FrameOutcome>();
        link.Send(0, 10_000, handedBack: (_, outcome) => outcomes.Add(outcome));
        Assert.Equal(LinkVerdict.Corrupt, events.Expect<LinkEnded>().Verdict);
    }

    private static void Deliver(int seed, bool isAltering)
    {
        var random = new Random(seed);
        var events = new EventLog();
        using var receiver = LinkHub.Start(TestLinks.Options("b") with { HasUnix = false, TcpHost = null }, _ => { });
        using var sink = new RecordingSink();
        using var receiving = receiver.Receive(LinkPurpose.Frames, TestLinks.Run, Generation.First, 1, sink);
        int[] sizes = [.. Enumerable.Range(0, FrameCount).Select(_ => random.Next(1, 6000))];
        // A connection must live for a hello and a frame now and then, or nothing ever gets through.
        using var link = UnsteadyLink.Open(receiver, TestLinks.Claim(), events.Add, seed, attempt => isAltering
            ? (long.MaxValue, attempt % 3 == 2 ? null : 300 + random.Next(20_000))
            : (attempt % 3 == 2 ? 60_000 : random.Next(1, 20_000), null));
        var handedBack = new int[FrameCount];
        using var all = new CountdownEvent(FrameCount);
        for (var number = 0; number < FrameCount; number++)
        {
            link.Send(number, sizes[number], handedBack: (key, outcome) =>
            {
                Assert.Equal(FrameOutcome.Acknowledged, outcome);
                Interlocked.Increment(ref handedBack[key.MicroBatch]);
                all.Signal();
            });
        }

        for (var number = 0; number < FrameCount; number++)
        {
            using var buffer = Expect(sink, number, sizes[number]);
        }

        Assert.True(all.Wait(TestLinks.Patience));
        Assert.All(handedBack, count => Assert.Equal(1, count));
        Assert.Equal(0, sink.WaitingCount);
        Assert.DoesNotContain(events.Rest(), raised => raised is LinkEnded);
    }

    private static IFrameBuffer Expect(RecordingSink sink, int number, int size)
    {
        var arrival = sink.Take();
        Assert.Equal(number, arrival.Header.Key.MicroBatch);
        Assert.True(arrival.Buffer.BytesOf(0).Span.SequenceEqual(TestLinks.Bytes(number, size)), $"Frame {number} was altered.");
        return arrival.Buffer;
    }
}
