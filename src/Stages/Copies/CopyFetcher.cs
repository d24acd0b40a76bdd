using Akka.Actor;
using Pipeline.Protocol;
using static Pipeline.Protocol.CopyProtocol;

namespace Pipeline.Stages;

/// <summary>
/// Fetches the copies that a rank starts from, from their holders, asks again when nothing comes, and hands all of them to its parent, which owns
/// them from then on. Ends with that, or with word of what is missing.
/// </summary>
internal sealed class CopyFetcher : ReceiveActor, IWithTimers
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    private readonly IReadOnlyList<(CopyId Copy, IActorRef Holder)> _sources;
    private readonly CopyLinks? _links;
    private readonly Dictionary<CopyId, CopyAssembly> _open = [];
    private readonly List<StateCopy> _whole = [];
    private bool _isHandedOver;

    public CopyFetcher(IReadOnlyList<(CopyId Copy, IActorRef Holder)> sources, CopyLinks? links)
    {
        (_sources, _links) = (sources, links);
        Receive<OfferCopy>(offer => _open.ContainsKey(offer.Copy) && StateCopy.FaultOf(offer, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes) is null, OnOffer);
        Receive<CopyChunk>(chunk => _open.ContainsKey(chunk.Copy), OnChunk);
        Receive<CopyPartArrived>(part => _open.ContainsKey(part.Place.Id), OnPart);
        ReceiveRepeated();
        Receive<CopyMissing>(missing => _open.ContainsKey(missing.Copy), OnMissing);
        Receive<PatienceTick>(_ => Ask());
        ReceiveAny(_ => { });
    }

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    internal static Props Props(IReadOnlyList<(CopyId Copy, IActorRef Holder)> sources, CopyLinks? links) => Akka.Actor.Props.Create(() => new CopyFetcher(sources, links));

    /// <inheritdoc/>
    protected override void PreStart()
    {
        foreach (var (copy, _) in _sources) _open.Add(copy, new CopyAssembly(copy, CopyMemory.None, _links?.Open(Self)));
        Ask();
    }

    /// <inheritdoc/>
    protected override void PostStop()
    {
        foreach (var assembly in _open.Values) assembly.Dispose();
        if (_isHandedOver) return;
        foreach (var copy in _whole) copy.Dispose();
    }

    private void Ask()
    {
        foreach (var (copy, holder) in _sources.Where(source => _open.ContainsKey(source.Copy))) holder.Tell(new FetchCopy(copy));
        Timers.StartSingleTimer("patience", new PatienceTick(), Patience);
    }

    private void OnOffer(OfferCopy offer)
    {
        _open[offer.Copy].Enter(offer, Sender);
        Proceed(offer.Copy);
    }

    private void OnChunk(CopyChunk chunk)
    {
        _open[chunk.Copy].Enter(chunk);
        Proceed(chunk.Copy);
    }

    private void OnPart(CopyPartArrived part)
    {
        _open[part.Place.Id].Enter(part);
        Proceed(part.Place.Id);
    }

    private void Proceed(CopyId id)
    {
        var assembly = _open[id];
        Timers.StartSingleTimer("patience", new PatienceTick(), Patience);
        if (assembly.TakeWhole() is not { } copy)
        {
            assembly.Sender.Tell(assembly.Progress);
            return;
        }

        assembly.Sender.Tell(new CopyReceived(id, copy.ByteCount));
        _whole.Add(copy);
        _open.Remove(id);
        if (_open.Count > 0) return;
        _isHandedOver = true;
        Context.Parent.Tell(new CopiesFetched(_whole));
        Timers.CancelAll();
        Context.SetReceiveTimeout(Patience * 4);
        Become(Answering);
    }

    /// <summary>A holder whose last acknowledgement was lost still hears of it; then it ends.</summary>
    private void Answering()
    {
        ReceiveRepeated();
        Receive<ReceiveTimeout>(_ => Context.Stop(Self));
        ReceiveAny(_ => { });
    }

    /// <summary>The last acknowledgement of a copy that is whole was lost.</summary>
    private void ReceiveRepeated()
    {
        Receive<CopyChunk>(chunk => _whole.Exists(copy => copy.Id == chunk.Copy), chunk => Acknowledge(chunk.Copy));
        Receive<OfferCopy>(offer => _whole.Exists(copy => copy.Id == offer.Copy), offer => Acknowledge(offer.Copy));
    }

    private void Acknowledge(CopyId id) => Sender.Tell(new CopyReceived(id, _whole.Find(copy => copy.Id == id)!.ByteCount));

    private void OnMissing(CopyMissing missing)
    {
        Context.Parent.Tell(new CopyNotFound(missing.Copy));
        Context.Stop(Self);
    }

    private sealed record PatienceTick : INoSerializationVerificationNeeded;
}

/// <summary>All copies that a rank starts from are here. The receiver of the message owns them.</summary>
internal sealed record CopiesFetched(IReadOnlyList<StateCopy> Copies) : INoSerializationVerificationNeeded;

/// <summary>A copy that a rank should start from is not where it should be.</summary>
internal sealed record CopyNotFound(CopyId Copy) : INoSerializationVerificationNeeded;
