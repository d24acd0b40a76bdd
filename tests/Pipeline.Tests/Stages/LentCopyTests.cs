using Akka.Actor;
using Akka.TestKit.Xunit2;
using Pipeline.Checkpoints;
using Pipeline.Protocol;
using Pipeline.Protocol.Links;
using Pipeline.Protocol.Wire;
using Pipeline.Stages;
using Pipeline.Tests.Protocol.Links;
using Xunit;
using static Pipeline.Protocol.CopyProtocol;

namespace Pipeline.Tests.Stages;

/// <summary>Copies whose memory their holder maps, as a process of the same machine does. Here rank and holder are of one process, which opens its own memory as another one would.</summary>
public sealed class LentCopyTests() : TestKit(WireSetup.For("akka { loglevel = ERROR, stdout-loglevel = ERROR }")), IDisposable
{
    private const int ByteCount = 3 * CopyPart.Length + 500;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly LinkHub[] _hubs = [.. Enumerable.Range(0, 3).Select(node => LinkHub.Start(TestLinks.Options($"node-{node}"), _ => { }))];
    private readonly CopyLinks?[] _links = new CopyLinks?[3];
    private readonly CopyMemory _memory = new(lends: true);

    void IDisposable.Dispose()
    {
        foreach (var hub in _hubs) hub.Dispose();
        Dispose();
        _memory.Dispose();
    }

    [SkippableFact]
    public void What_a_holder_has_mapped_stays_as_it_was_while_later_copies_are_taken_in_memory_that_is_used_again()
    {
        SkipWithoutMemoryFiles();
        var holder = Sys.ActorOf(CopyHolder.Props(Links(1)));
        var rank = Rank(holder);
        HashSet<nint> places = [];
        for (var step = 1; step <= 12; step++)
        {
            places.Add(Protect(rank, step));
            var delivered = ExpectMsg<CopyDelivered>(Patience);
            Assert.False(delivered.IsDeclined);
            Assert.Contains(delivered.Copy.Lent!.Name, delivered.Mapped);
        }

        Assert.InRange(places.Count, 3, 6);
        AssertHolds(holder, 11, 12);
        for (var step = 13; step <= 16; step++)
        {
            Protect(rank, step);
            ExpectMsg<CopyDelivered>(Patience);
            AssertHolds(holder, step - 1, step);
        }
    }

    [SkippableFact]
    public void A_holder_that_is_no_longer_the_ranks_keeps_what_it_has_mapped()
    {
        SkipWithoutMemoryFiles();
        var former = Sys.ActorOf(CopyHolder.Props(Links(1)));
        var later = Sys.ActorOf(CopyHolder.Props(Links(1)));
        var rank = Rank(former);
        for (var step = 1; step <= 4; step++)
        {
            Protect(rank, step);
            ExpectMsg<CopyDelivered>(Patience);
        }

        rank.Tell(new Redirect(later));
        // The newest one goes to the later holder too.
        Assert.Equal(4, ExpectMsg<CopyDelivered>(Patience).Copy.Id.Step);
        for (var step = 5; step <= 9; step++)
        {
            Protect(rank, step);
            ExpectMsg<CopyDelivered>(Patience);
        }

        AssertHolds(former, 3, 4);
        AssertHolds(later, 8, 9);
    }

    [SkippableFact]
    public void An_offer_that_comes_once_more_after_its_memory_was_used_again_is_not_believed()
    {
        SkipWithoutMemoryFiles();
        var holder = Sys.ActorOf(CopyHolder.Props(Links(1)));
        var rank = Rank(holder);
        Protect(rank, 1);
        var first = ExpectMsg<CopyDelivered>(Patience).Copy;
        OfferCopy late = new(first.Id, first.Tensors, first.ByteCount, 0, first.Lent);
        for (var step = 2; step <= 6; step++)
        {
            Protect(rank, step);
            ExpectMsg<CopyDelivered>(Patience);
        }

        holder.Tell(late, TestActor);
        Assert.Equal(CopyReceived.NotMapped, ExpectMsg<CopyReceived>(Patience).ByteCount);
        AssertHolds(holder, 5, 6);
    }

    [SkippableTheory]
    [InlineData(LinkKindChoice.Tcp)]
    [InlineData(null)]
    public void A_holder_that_maps_nothing_is_sent_the_copies(LinkKindChoice? choice)
    {
        SkipWithoutMemoryFiles();
        var holder = Sys.ActorOf(CopyHolder.Props(choice is { } kind ? new CopyLinks(_hubs[1], kind) : null));
        var rank = Rank(holder);
        for (var step = 1; step <= 3; step++)
        {
            Protect(rank, step);
            var delivered = ExpectMsg<CopyDelivered>(Patience);
            // Asked once, it is not asked again.
            Assert.Equal(step == 1, delivered.IsDeclined);
            Assert.Empty(delivered.Mapped);
        }

        AssertHolds(holder, 2, 3);
    }

    [SkippableFact]
    public void Memory_that_is_not_what_it_is_said_to_be_is_not_mapped()
    {
        SkipWithoutMemoryFiles();
        var holder = Sys.ActorOf(CopyHolder.Props(Links(1)));
        using var copy = Copy(1);
        var lent = copy.Lent!;
        using var file = File.OpenRead(typeof(LentCopyTests).Assembly.Location);
        foreach (var (memory, byteCount) in new (LentMemory, int)[]
        {
            (lent with { Name = "pipeline-copy-" + new string('0', 32) }, ByteCount),
            (lent with { Name = "../../etc/passwd" }, ByteCount),
            (lent with { Name = null! }, ByteCount),
            (lent with { Name = new string('a', lent.Name.Length) }, ByteCount),
            (lent with { Process = int.MaxValue, Use = lent.Use + 1 }, ByteCount),
            (lent with { Descriptor = (int)file.SafeFileHandle.DangerousGetHandle(), Use = lent.Use + 2 }, ByteCount),
            (lent with { Descriptor = -1, Use = lent.Use + 3 }, ByteCount),
            (lent with { Use = lent.Use + 4 }, ByteCount + 4),
        })
        {
            holder.Tell(new OfferCopy(copy.Id, [new CopyTensor("weights", TensorTypes.F32, [byteCount / 4])], byteCount, 0, memory), TestActor);
            Assert.Equal(CopyReceived.NotMapped, ExpectMsg<CopyReceived>(Patience).ByteCount);
        }

        Assert.Empty(Held(holder));
        holder.Tell(new OfferCopy(copy.Id, copy.Tensors, copy.ByteCount, 0, lent with { Use = lent.Use + 5 }), TestActor);
        Assert.Equal(lent.Name, Assert.Single(ExpectMsg<CopyReceived>(Patience).Mapped!));
        AssertHolds(holder, 1);
    }

    [SkippableFact]
    public unsafe void Memory_that_is_given_away_is_not_used_again_and_what_was_mapped_of_it_stays()
    {
        SkipWithoutMemoryFiles();
        BorrowedMemory borrowed = new();
        var copy = Copy(1);
        var block = borrowed.Borrow(copy.Id.Run, copy.Lent!, ByteCount)!;
        copy.GiveAway();
        copy.Dispose();
        using (var next = Copy(2)) Assert.Equal(0, next.Lent!.Use);
        Assert.True(Bytes(1).AsSpan().SequenceEqual(new ReadOnlySpan<byte>(block.Start, ByteCount)));
        Assert.Single(borrowed.Names);
        block.Free();
        Assert.Empty(borrowed.Names);
    }

    private static void SkipWithoutMemoryFiles() => Skip.IfNot(MemoryFile.IsSupported, "This system has no files that are nothing but memory.");

    private CopyLinks Links(int node) => _links[node] ??= new CopyLinks(_hubs[node], LinkKindChoice.Automatic);

    private IActorRef Rank(IActorRef holder)
    {
        var links = Links(0);
        return Sys.ActorOf(Props.Create(() => new RankOfCopies(TestActor, holder, links)));
    }

    private unsafe nint Protect(IActorRef rank, int step)
    {
        var copy = Copy(step);
        rank.Tell(new StateTaken(copy));
        return (nint)copy.At(0);
    }

    private StateCopy Copy(int step)
    {
        StateCopy copy = new(new CopyId(TestLinks.Run, new Generation(2), 3, step), [new CopyTensor("weights", TensorTypes.F32, [ByteCount / 4])], ByteCount, _memory);
        copy.Write(0, Bytes(step));
        return copy;
    }

    private static byte[] Bytes(int step)
    {
        var bytes = new byte[ByteCount];
        new Random(step).NextBytes(bytes);
        return bytes;
    }

    private void AssertHolds(IActorRef holder, params long[] steps)
    {
        Assert.Equal(steps, Held(holder).Select(copy => copy.Step).Order());
        foreach (var id in Held(holder))
        {
            var links = Links(2);
            Sys.ActorOf(Props.Create(() => new Asker(TestActor, CopyFetcher.Props(new[] { ValueTuple.Create(id, holder) }, links))));
            using var fetched = Assert.Single(ExpectMsg<CopiesFetched>(Patience).Copies);
            Assert.True(Bytes((int)id.Step).AsSpan().SequenceEqual(fetched.Read(0, ByteCount)));
        }
    }

    private IReadOnlyList<CopyId> Held(IActorRef holder)
    {
        holder.Tell(new ReportHeld(TestLinks.Run), TestActor);
        return ExpectMsg<HeldCopies>(Patience).Copies;
    }

    /// <summary>Stands for a rank's actor: owns its outbox.</summary>
    private sealed class RankOfCopies : ReceiveActor
    {
        private readonly CopyOutbox _outbox;

        public RankOfCopies(IActorRef listener, IActorRef holder, CopyLinks links)
        {
            _outbox = new CopyOutbox(Context, () => { }, _ => { }, links);
            _outbox.Direct(holder, folder: null);
            Receive<StateTaken>(taken => _outbox.Add(taken.Copy));
            Receive<Redirect>(other => _outbox.Direct(other.Holder, folder: null));
            Receive<CopyDelivered>(delivered =>
            {
                Assert.True(_outbox.Delivered(delivered));
                listener.Tell(delivered);
            });
        }

        protected override void PostStop() => _outbox.Close();
    }

    private sealed record Redirect(IActorRef Holder) : INoSerializationVerificationNeeded;

    /// <summary>Starts a transfer, and passes on what it is told.</summary>
    private sealed class Asker : ReceiveActor
    {
        public Asker(IActorRef listener, Props child)
        {
            Context.ActorOf(child);
            ReceiveAny(message => listener.Forward(message));
        }
    }
}
