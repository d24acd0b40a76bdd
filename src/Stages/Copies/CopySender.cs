using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Protocol.Links;
using static Pipeline.Protocol.CopyProtocol;

namespace Pipeline.Stages;

/// <summary>
/// The sending end of one copy's transfer: offers the copy; where the receiver cannot map the memory that it lies in, sends it over a link of its own if the
/// receiver names one in another process, in chunks otherwise; goes back to what was acknowledged when nothing is heard, and tells its parent when the receiver has
/// all. Ends with that. Holds the copy meanwhile.
/// </summary>
internal sealed class CopySender : ReceiveActor, IWithTimers
{
    private const int Window = 16 * CopyChunk.Length;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>A link mends itself; only one that stands still for so long is given up.</summary>
    private static readonly TimeSpan LinkPatience = TimeSpan.FromSeconds(10);

    private readonly StateCopy _copy;
    private readonly IActorRef _named;
    private readonly CopyLinks? _links;
    private readonly bool _lends;
    private readonly bool _endsWithReceiver;
    private IActorRef _receiver;
    private LentMemory? _lent;
    private ILink? _link;
    private int _inlet;
    private ulong _checksum;
    private long _acknowledged = -1;
    private long _sent;

    public CopySender(StateCopy copy, IActorRef receiver, CopyLinks? links, bool lends, bool endsWithReceiver)
    {
        _endsWithReceiver = endsWithReceiver;
        (_copy, _named, _receiver, _links) = (copy, receiver, receiver, links);
        _lent = lends ? copy.Lent : null;
        _lends = _lent is not null;
        Receive<Summed>(OnSummed);
        Receive<CopyReceived>(received => received.Copy == _copy.Id, OnReceived);
        Receive<Terminated>(_ => Context.Stop(Self));
        Receive<PartGone>(gone => gone.Link == _link, OnPartGone);
        Receive<PatienceTick>(_ => Repeat());
        ReceiveAny(_ => { });
    }

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <summary>How to make one.</summary>
    /// <param name="copy">What is sent; the actor holds it beside others.</param>
    /// <param name="receiver">To whom.</param>
    /// <param name="links">How it travels; null where it goes in chunks.</param>
    /// <param name="lends">Whether the receiver may map the copy's memory, which then stays as it is until the receiver says that it has not.</param>
    /// <param name="endsWithReceiver">Whether nobody else will ever take the receiver's place.</param>
    internal static Props Props(StateCopy copy, IActorRef receiver, CopyLinks? links, bool lends = false, bool endsWithReceiver = false)
    {
        var held = copy.Share();
        return Akka.Actor.Props.Create(() => new CopySender(held, receiver, links, lends, endsWithReceiver));
    }

    /// <inheritdoc/>
    protected override void PreStart()
    {
        if (_endsWithReceiver) Context.Watch(_receiver);
        // What is mapped where it lies needs no checksum.
        if (_lent is null) Sum();
        else Repeat();
    }

    /// <summary>The checksum takes a pass over the memory: on a task, since a handler does not compute.</summary>
    private void Sum()
    {
        var held = _copy.Share();
        _ = Task.Run(() =>
        {
            using (held) return held.Checksum();
        }).PipeTo(Self, success: sum => new Summed(sum));
    }

    /// <summary>The one that comes after it holds the copy in its turn.</summary>
    protected override void PreRestart(Exception reason, object message)
    {
        _copy.Share();
        base.PreRestart(reason, message);
    }

    /// <inheritdoc/>
    protected override void PostStop()
    {
        _link?.Dispose();
        _copy.Dispose();
    }

    private void OnSummed(Summed summed)
    {
        _checksum = summed.Checksum;
        Repeat();
    }

    private void OnReceived(CopyReceived received)
    {
        if (_lent is not null && received.ByteCount < _copy.ByteCount)
        {
            _lent = null;
            Timers.CancelAll();
            Sum();
            return;
        }

        // Said again of an offer that was repeated.
        if (received.ByteCount == CopyReceived.NotMapped) return;
        if (received.ByteCount < _acknowledged && received.ByteCount > 0) return;
        // Nothing at all after something: the receiver has begun anew.
        var isAnew = received.ByteCount < _acknowledged;
        if (isAnew) _sent = 0;
        _acknowledged = received.ByteCount;
        _sent = Math.Max(_sent, _acknowledged);
        if (_acknowledged == _copy.ByteCount)
        {
            Context.Parent.Tell(new CopyDelivered(_copy, _named, received.Mapped ?? [], IsDeclined: _lends && _lent is null));
            Context.Stop(Self);
        }
        else if (_links is null || received.LinkAddress.Length == 0 || received.LinkAddress == _links.Address)
        {
            SendChunks();
        }
        else if (_link is null || isAnew || received.Inlet != _inlet)
        {
            SendParts(received);
        }
    }

    /// <summary>Nothing was heard: the offer and what was not acknowledged go again.</summary>
    private void Repeat()
    {
        DropLink();
        // A path of this actor system whose actor was not there yet leads nowhere for ever, so it is looked up again.
        if (_receiver is EmptyLocalActorRef) _receiver = ((ExtendedActorSystem)Context.System).Provider.ResolveActorRef(_receiver.Path);
        _sent = Math.Max(_acknowledged, 0);
        _receiver.Tell(new OfferCopy(_copy.Id, _copy.Tensors, _copy.ByteCount, _checksum, _lent));
        // With links the receiver's answer says whether it has any.
        if (_links is null && _lent is null) SendChunks();
        else Timers.StartSingleTimer("patience", new PatienceTick(), Patience);
    }

    private void SendChunks()
    {
        Timers.StartSingleTimer("patience", new PatienceTick(), Patience);
        while (_sent < Math.Min(_copy.ByteCount, Math.Max(_acknowledged, 0) + Window))
        {
            var bytes = _copy.Read(_sent, CopyChunk.Length).ToArray();
            _receiver.Tell(new CopyChunk(_copy.Id, _sent, bytes));
            _sent += bytes.Length;
        }
    }

    /// <summary>All parts that the receiver lacks, in order: the link's credits say when each goes.</summary>
    private void SendParts(CopyReceived received)
    {
        DropLink();
        if (Connect(received.LinkAddress) is not { } link)
        {
            Timers.StartSingleTimer("patience", new PatienceTick(), Patience);
            return;
        }

        _link = link;
        _inlet = received.Inlet;
        var self = Self;
        for (var offset = _acknowledged / CopyPart.Length * CopyPart.Length; offset < _copy.ByteCount; offset += CopyPart.Length)
        {
            CopyPart part = new(_copy, offset, outcome => self.Tell(new PartGone(link, outcome)));
            link.Send(part.Header(_inlet), part);
        }

        Timers.StartSingleTimer("patience", new PatienceTick(), LinkPatience);
    }

    /// <summary>Null where no link of the wanted kind leads there, or the text is no address: the receiver may say another one later.</summary>
    private ILink? Connect(string address)
    {
        try
        {
            return _links!.Connect(address, _copy.Id);
        }
        catch (Exception unreachable) when (unreachable is ArgumentException or FormatException)
        {
            return null;
        }
    }

    /// <summary>A link that has ended for good is followed by another offer, after a pause: its end may have a reason that stays.</summary>
    private void OnPartGone(PartGone gone)
    {
        if (gone.Outcome == FrameOutcome.Abandoned) DropLink();
        Timers.StartSingleTimer("patience", new PatienceTick(), gone.Outcome == FrameOutcome.Abandoned ? Patience : LinkPatience);
    }

    private void DropLink()
    {
        _link?.Dispose();
        _link = null;
    }

    private sealed record Summed(ulong Checksum) : INoSerializationVerificationNeeded;

    private sealed record PatienceTick : INoSerializationVerificationNeeded;

    private sealed record PartGone(ILink Link, FrameOutcome Outcome) : INoSerializationVerificationNeeded;
}

/// <summary>A receiver has a copy whole.</summary>
/// <param name="Copy">The copy.</param>
/// <param name="Receiver">The receiver, as it was named to the sender.</param>
/// <param name="Mapped">Names of memories of other processes that it has mapped.</param>
/// <param name="IsDeclined">Whether it could not map the copy's.</param>
internal sealed record CopyDelivered(StateCopy Copy, IActorRef Receiver, IReadOnlyList<string> Mapped, bool IsDeclined = false) : INoSerializationVerificationNeeded;
