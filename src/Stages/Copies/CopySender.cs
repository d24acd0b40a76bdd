using Akka.Actor;
using static Pipeline.Protocol.CopyProtocol;

namespace Pipeline.Stages;

/// <summary>
/// The sending end of one copy's transfer: offers the copy, keeps a few chunks under way, goes back to what was acknowledged when nothing
/// is heard, and tells its parent when the receiver has all. Ends with that. Holds the copy meanwhile.
/// </summary>
internal sealed class CopySender : ReceiveActor, IWithTimers
{
    private const int Window = 16 * CopyChunk.Length;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    private readonly StateCopy _copy;
    private readonly IActorRef _receiver;
    private ulong _checksum;
    private long _acknowledged = -1;
    private long _sent;

    public CopySender(StateCopy copy, IActorRef receiver)
    {
        (_copy, _receiver) = (copy, receiver);
        Receive<Summed>(OnSummed);
        Receive<CopyReceived>(received => received.Copy == _copy.Id, OnReceived);
        Receive<PatienceTick>(_ => Repeat());
        ReceiveAny(_ => { });
    }

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    internal static Props Props(StateCopy copy, IActorRef receiver)
    {
        var held = copy.Share();
        return Akka.Actor.Props.Create(() => new CopySender(held, receiver));
    }

    /// <summary>The checksum takes a pass over the memory: on a task, since a handler does not compute.</summary>
    protected override void PreStart()
    {
        var held = _copy.Share();
        _ = Task.Run(() =>
        {
            using (held) return held.Checksum();
        }).PipeTo(Self, success: sum => new Summed(sum));
    }

    /// <inheritdoc/>
    protected override void PostStop() => _copy.Dispose();

    private void OnSummed(Summed summed)
    {
        _checksum = summed.Checksum;
        Repeat();
    }

    private void OnReceived(CopyReceived received)
    {
        if (received.ByteCount < _acknowledged && received.ByteCount > 0) return;
        // Nothing at all after something: the receiver has begun anew.
        if (received.ByteCount < _acknowledged) _sent = 0;
        _acknowledged = received.ByteCount;
        _sent = Math.Max(_sent, _acknowledged);
        if (_acknowledged == _copy.ByteCount)
        {
            Context.Parent.Tell(new CopyDelivered(_copy, _receiver));
            Context.Stop(Self);
            return;
        }

        Send();
    }

    /// <summary>Nothing was heard: the offer and what was not acknowledged go again.</summary>
    private void Repeat()
    {
        _sent = Math.Max(_acknowledged, 0);
        _receiver.Tell(new OfferCopy(_copy.Id, _copy.Tensors, _copy.ByteCount, _checksum));
        Send();
    }

    private void Send()
    {
        Timers.StartSingleTimer("patience", new PatienceTick(), Patience);
        while (_sent < Math.Min(_copy.ByteCount, Math.Max(_acknowledged, 0) + Window))
        {
            var bytes = _copy.Read(_sent, CopyChunk.Length).ToArray();
            _receiver.Tell(new CopyChunk(_copy.Id, _sent, bytes));
            _sent += bytes.Length;
        }
    }

    private sealed record Summed(ulong Checksum) : INoSerializationVerificationNeeded;

    private sealed record PatienceTick : INoSerializationVerificationNeeded;
}

/// <summary>A receiver has a copy whole.</summary>
internal sealed record CopyDelivered(StateCopy Copy, IActorRef Receiver) : INoSerializationVerificationNeeded;
