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

/// <summary>Copies of a state on their way between processes, each of which is a hub of its own here: over links, and in chunks where there are none.</summary>
public sealed class CopyTransferTests() : TestKit(WireSetup.For("akka { loglevel = ERROR, stdout-loglevel = ERROR }")), IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private static readonly CopyId Id = new(TestLinks.Run, new Generation(2), 3, 40);
    private readonly LinkHub[] _hubs = [.. Enumerable.Range(0, 3).Select(node => LinkHub.Start(TestLinks.Options($"node-{node}"), _ => { }))];

    void IDisposable.Dispose()
    {
        foreach (var hub in _hubs) hub.Dispose();
        Dispose();
    }

    [Theory]
    [InlineData(LinkKindChoice.Unix, 3 * CopyPart.Length + 500)]
    [InlineData(LinkKindChoice.Tcp, CopyPart.Length)]
    [InlineData(LinkKindChoice.Automatic, 4)]
    public void A_copy_goes_to_its_holder_and_from_there_to_a_replacement_over_links(LinkKindChoice choice, int byteCount)
    {
        CopyLinks[] links = [.. _hubs.Select(hub => new CopyLinks(hub, choice))];
        using var copy = Copy(byteCount);
        var holder = Sys.ActorOf(CopyHolder.Props(links[1]));
        Sys.ActorOf(Props.Create(() => new Parent(TestActor, CopySender.Props(copy, holder, links[0]))));
        Assert.Equal(holder, ExpectMsg<CopyDelivered>(Patience).Receiver);
        Assert.Equal(Id, Assert.Single(Held(holder)));
        Sys.ActorOf(Props.Create(() => new Parent(TestActor, CopyFetcher.Props(new[] { ValueTuple.Create(Id, holder) }, links[2]))));
        using var fetched = Assert.Single(ExpectMsg<CopiesFetched>(Patience).Copies);
        Assert.Equal(copy.Checksum(), fetched.Checksum());
        Assert.True(fetched.Read(0, byteCount).SequenceEqual(copy.Read(0, byteCount)));
        // A link that has carried a copy is closed again.
        AwaitAssert(() => Assert.DoesNotContain(_hubs.SelectMany(hub => hub.Status), status => status.Direction == LinkDirection.Outgoing), Patience);
    }

    [Fact]
    public void Without_links_at_one_end_it_goes_in_chunks()
    {
        using CopyLinks links = new(_hubs[0], LinkKindChoice.Automatic);
        using var copy = Copy(200_000);
        var holder = Sys.ActorOf(CopyHolder.Props());
        Sys.ActorOf(Props.Create(() => new Parent(TestActor, CopySender.Props(copy, holder, links))));
        ExpectMsg<CopyDelivered>(Patience);
        Assert.Equal(Id, Assert.Single(Held(holder)));
    }

    [Theory]
    [InlineData("no address at all")]
    [InlineData("")]
    public void A_receiver_that_names_a_place_to_which_no_link_leads_is_offered_the_copy_again(string place)
    {
        using CopyLinks links = new(_hubs[0], LinkKindChoice.Unix);
        using var copy = Copy(1000);
        var sender = Sys.ActorOf(CopySender.Props(copy, TestActor, links));
        ExpectMsg<OfferCopy>(Patience);
        sender.Tell(new CopyReceived(Id, 0, place), TestActor);
        if (place.Length == 0) ExpectMsg<CopyChunk>(Patience);
        Assert.Equal(Id, ExpectMsg<OfferCopy>(Patience).Copy);
        Watch(sender);
        sender.Tell(new CopyReceived(Id, copy.ByteCount), TestActor);
        ExpectTerminated(sender, Patience);
        // The sender has let go of the copy once.
        Assert.Equal(1000, copy.Read(0, 1000).Length);
    }

    [Fact]
    public void Who_sends_a_copy_to_one_that_asked_for_it_ends_when_that_one_does()
    {
        using var copy = Copy(1000);
        var asker = CreateTestProbe();
        var sender = Sys.ActorOf(CopySender.Props(copy, asker, null, endsWithReceiver: true));
        asker.ExpectMsg<OfferCopy>(Patience);
        Watch(sender);
        Sys.Stop(asker);
        ExpectTerminated(sender, Patience);
    }

    [Fact]
    public void A_holder_that_was_not_there_yet_when_its_place_was_named_gets_the_copy_too()
    {
        var named = ((ExtendedActorSystem)Sys).Provider.ResolveActorRef(new RootActorPath(((ExtendedActorSystem)Sys).Provider.DefaultAddress) / "user" / "late");
        Assert.IsType<EmptyLocalActorRef>(named);
        using var copy = Copy(1000);
        Sys.ActorOf(Props.Create(() => new Parent(TestActor, CopySender.Props(copy, named, null))));
        var holder = Sys.ActorOf(CopyHolder.Props(), "late");
        Assert.Equal(named, ExpectMsg<CopyDelivered>(Patience).Receiver);
        Assert.Equal(Id, Assert.Single(Held(holder)));
    }

    [Fact]
    public void A_copy_whose_bytes_are_not_those_that_were_offered_is_never_called_whole()
    {
        using var copy = Copy(100_000);
        var holder = Sys.ActorOf(CopyHolder.Props());
        holder.Tell(new OfferCopy(Id, copy.Tensors, copy.ByteCount, copy.Checksum() + 1), TestActor);
        Assert.Equal(0, ExpectMsg<CopyReceived>(Patience).ByteCount);
        for (var offset = 0; offset < copy.ByteCount; offset += CopyChunk.Length)
        {
            holder.Tell(new CopyChunk(Id, offset, copy.Read(offset, CopyChunk.Length).ToArray()), TestActor);
            Assert.NotEqual(copy.ByteCount, ExpectMsg<CopyReceived>(Patience).ByteCount);
        }

        Assert.Empty(Held(holder));
    }

    [Fact]
    public void An_offer_that_no_machine_can_hold_or_that_contradicts_itself_is_refused_and_the_holder_lives_on()
    {
        using var copy = Copy(1000);
        var holder = Sys.ActorOf(CopyHolder.Props());
        CopyTensor Tensor(string name, string type, params long[] shape) => new(name, type, shape);
        foreach (var (tensors, byteCount) in new (CopyTensor[], long)[]
        {
            ([Tensor("a", TensorTypes.F32, 1L << 40)], 1L << 42),
            ([Tensor("a", TensorTypes.F32, long.MaxValue, long.MaxValue)], 4),
            ([Tensor("a", TensorTypes.F32, -1)], -4),
            ([Tensor("a", TensorTypes.F32, 8)], 31),
            ([Tensor("a", "F99", 1)], 4),
            ([Tensor("a", TensorTypes.F32, 1), Tensor("a", TensorTypes.F32, 1)], 8),
        }) holder.Tell(new OfferCopy(Id, tensors, byteCount, 1), TestActor);
        Assert.Empty(Held(holder));
        Sys.ActorOf(Props.Create(() => new Parent(TestActor, CopySender.Props(copy, holder, null))));
        ExpectMsg<CopyDelivered>(Patience);
        Assert.Equal(Id, Assert.Single(Held(holder)));
    }

    [Fact]
    public void A_frame_that_names_no_copy_that_is_awaited_is_refused_before_memory_is_taken()
    {
        using CopyLinks links = new(_hubs[0], LinkKindChoice.Automatic);
        using var copy = Copy(1000);
        using var inlet = links.Open(TestActor);
        using CopyPart part = new(copy, 0, _ => { });
        Assert.ThrowsAny<Exception>(() => links.Rent(null!, part.Header(inlet.Number + 1)));
        // Open, but nothing was offered yet.
        Assert.ThrowsAny<Exception>(() => links.Rent(null!, part.Header(inlet.Number)));
        using var other = Copy(996);
        inlet.Direct(other);
        Assert.ThrowsAny<Exception>(() => links.Rent(null!, part.Header(inlet.Number)));
        Assert.True(inlet.IsQuiet);
    }

    [Theory]
    [InlineData(0, 1, 2)]
    [InlineData(1, 0, 2)]
    [InlineData(0, 1, 0, 2)]
    [InlineData(0, 0, 1, 2, 1)]
    public void Parts_that_come_in_any_order_or_twice_are_summed_as_what_lies_there_in_the_end(params int[] order)
    {
        using CopyLinks links = new(_hubs[0], LinkKindChoice.Automatic);
        using var place = Copy(5 * CopyPart.Length / 2);
        using var inlet = links.Open(TestActor);
        inlet.Direct(place);
        foreach (var (number, turn) in order.Select((number, turn) => (number, turn)))
        {
            using CopyPart sent = new(place, (long)number * CopyPart.Length, _ => { });
            var part = inlet.Rent(sent.Header(inlet.Number));
            part.GetSpan()[..8].Fill((byte)(turn + 1));
            inlet.Arrived(part);
        }

        Assert.True(inlet.IsQuiet);
        Assert.Equal(place.Checksum(), inlet.Checksum(place));
    }

    private IReadOnlyList<CopyId> Held(IActorRef holder)
    {
        holder.Tell(new ReportHeld(Id.Run), TestActor);
        return ExpectMsg<HeldCopies>(Patience).Copies;
    }

    private static StateCopy Copy(int byteCount)
    {
        StateCopy copy = new(Id, [new CopyTensor("weights", TensorTypes.F32, [byteCount / 4])], byteCount, CopyMemory.None);
        var bytes = new byte[byteCount];
        new Random(byteCount).NextBytes(bytes);
        copy.Write(0, bytes);
        return copy;
    }

    /// <summary>Stands for whoever has started a transfer: passes on what it is told.</summary>
    private sealed class Parent : ReceiveActor
    {
        public Parent(IActorRef listener, Props child)
        {
            Context.ActorOf(child);
            ReceiveAny(message => listener.Forward(message));
        }
    }
}
