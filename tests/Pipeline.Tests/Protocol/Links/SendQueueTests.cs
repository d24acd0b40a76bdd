using CsCheck;
using Pipeline.Protocol.Links;
using Xunit;

namespace Pipeline.Tests.Protocol.Links;

/// <summary>The sender's queue against a receiver that is told everything and forgets nothing.</summary>
public sealed class SendQueueTests
{
    private const long Window = 50_000;

    [Fact]
    public void Whatever_the_order_of_events_credits_hold_and_each_frame_is_handed_back_once()
    {
        var operations = Gen.Select(Gen.Int[0, 4], Gen.Int[1, 60_000]).Array[1, 200];
        operations.Sample(script =>
        {
            var queue = new SendQueue();
            var receiver = new Receiver();
            queue.Resume(0, 0, Window);
            var added = 0;
            List<ulong> handedBack = [];
            foreach (var (operation, size) in script)
            {
                switch (operation)
                {
                    case 0:
                        queue.Add(TestLinks.Header(added++, size), new MemoryPayload([]));
                        break;
                    case 1 when queue.Take() is { } frame:
                        receiver.Take(frame);
                        Assert.True(receiver.Held <= Window || receiver.HeldCount == 1, $"{receiver.Held} credits in {receiver.HeldCount} frames are outstanding.");
                        if (queue.Sent() is { } done) handedBack.Add(done.Number);
                        break;
                    case 2:
                        receiver.Consume();
                        break;
                    case 3:
                        receiver.Tell();
                        handedBack.AddRange(queue.Acknowledge(receiver.Received, receiver.Consumed).Select(frame => frame.Number));
                        break;
                    case 4:
                        // The connection broke while the last frames were under way.
                        receiver.Lose(size % 3);
                        receiver.Tell();
                        handedBack.AddRange(queue.Resume(receiver.Received, receiver.Consumed, Window).Done.Select(frame => frame.Number));
                        break;
                    default:
                        break;
                }
            }

            while (!queue.IsEmpty)
            {
                while (queue.Take() is { } frame)
                {
                    receiver.Take(frame);
                    queue.Sent();
                }

                receiver.Consume();
                handedBack.AddRange(queue.Acknowledge(receiver.Received, receiver.Consumed).Select(frame => frame.Number));
            }

            Assert.Equal(Enumerable.Range(1, added).Select(number => (ulong)number), handedBack);
        }, iter: 2000);
    }

    [Fact]
    public void A_frame_that_is_still_being_read_is_not_handed_back_whatever_the_receiver_says()
    {
        var queue = new SendQueue();
        queue.Resume(0, 0, Window);
        queue.Add(TestLinks.Header(0, 100), new MemoryPayload([]));
        var frame = queue.Take();
        Assert.Empty(queue.Acknowledge(1, 0));
        Assert.Same(frame, queue.Sent());
    }

    [Theory]
    [InlineData(3, 0)]
    [InlineData(1, 1 << 30)]
    [InlineData(1, -1)]
    public void A_receipt_for_what_was_never_sent_is_refused(ulong number, long consumed)
    {
        var queue = new SendQueue();
        queue.Resume(0, 0, Window);
        queue.Add(TestLinks.Header(0, 100), new MemoryPayload([]));
        queue.Add(TestLinks.Header(1, 100), new MemoryPayload([]));
        queue.Take();
        queue.Sent();
        Assert.Throws<LinkProtocolException>(() => queue.Acknowledge(number, consumed));
    }

    /// <summary>Frames under way count as received at once; a loss takes back those that were not told yet.</summary>
    private sealed class Receiver
    {
        private readonly List<OutgoingFrame> _got = [];
        private int _consumedCount;
        private ulong _told;

        internal ulong Received => _got.Count == 0 ? 0 : _got[^1].Number;

        internal long Consumed => _got.Take(_consumedCount).Sum(frame => frame.Cost);

        internal long Held => _got.Skip(_consumedCount).Sum(frame => frame.Cost);

        internal int HeldCount => _got.Count - _consumedCount;

        internal void Take(OutgoingFrame frame)
        {
            Assert.Equal(Received + 1, frame.Number);
            _got.Add(frame);
        }

        internal void Tell() => _told = Received;

        internal void Consume()
        {
            _consumedCount = _got.Count;
            Tell();
        }

        internal void Lose(int count)
        {
            for (; count > 0 && _got.Count > _consumedCount && Received > _told; count--) _got.RemoveAt(_got.Count - 1);
        }
    }
}
