using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using Xunit;

namespace Pipeline.Tests.Protocol.Links;

public sealed class LinkCreditTests
{
    private const int FrameBytes = 100_000;
    private const int FrameCount = 60;

    [Theory]
    [InlineData(LinkKindChoice.Unix)]
    [InlineData(LinkKindChoice.Tcp)]
    public void A_receiver_that_does_not_consume_holds_one_window_and_no_more(LinkKindChoice kind)
    {
        using var sender = LinkHub.Start(TestLinks.Options("a"), _ => { });
        using var receiver = LinkHub.Start(TestLinks.Options("b"), _ => { });
        using var sink = new HoldingSink();
        using var receiving = receiver.Receive(LinkPurpose.Frames, TestLinks.Run, Generation.First, 1, sink);
        using var link = sender.Open(receiver.Address, TestLinks.Claim(), kind);
        for (var number = 0; number < FrameCount; number++) link.Send(number, FrameBytes);
        // As many as fit come without a word from the consumer; every other comes for one that was consumed.
        var fitting = (int)(TestLinks.Settings.WindowBytes / FrameBytes);
        for (var number = 0; number < FrameCount; number++)
        {
            if (number >= fitting) sink.ConsumeOldest();
            sink.AwaitNext();
        }

        Assert.InRange(sink.MostHeldBytes, FrameBytes * fitting, TestLinks.Settings.WindowBytes);
        var status = Assert.Single(receiver.Status);
        Assert.Equal((LinkDirection.Incoming, (long)FrameCount, sink.HeldBytes), (status.Direction, status.FrameCount, status.QueuedBytes));
    }

    private sealed class HoldingSink : IFrameSink, IDisposable
    {
        private readonly RecordingSink _inner = new(consumesAtOnce: false);
        private readonly Queue<ArrivedFrame> _held = new();
        private readonly Lock _gate = new();

        internal long HeldBytes { get; private set; }

        internal long MostHeldBytes { get; private set; }

        public IFrameBuffer Rent(LinkPeer from, FrameHeader header)
        {
            lock (_gate)
            {
                HeldBytes += header.BlockLength;
                MostHeldBytes = Math.Max(MostHeldBytes, HeldBytes);
            }

            return _inner.Rent(from, header);
        }

        public void Arrived(ArrivedFrame frame) => _inner.Arrived(frame);

        public void Dispose() => _inner.Dispose();

        internal void AwaitNext() => _held.Enqueue(_inner.Take());

        internal void ConsumeOldest()
        {
            var arrival = _held.Dequeue();
            arrival.Buffer.Dispose();
            lock (_gate) HeldBytes -= arrival.Header.BlockLength;
            arrival.Consume();
            arrival.Consume();
        }
    }
}
