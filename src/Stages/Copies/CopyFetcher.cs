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
    private readonly Dictionary<CopyId, CopyAssembly> _open = [];
    private readonly List<StateCopy> _whole = [];
    private bool _isHandedOver;

    public CopyFetcher(IReadOnlyList<(CopyId Copy, IActorRef Holder)> sources)
    {
        _sources = sources;
        Receive<OfferCopy>(offer => _open.ContainsKey(offer.Copy), offer => Sender.Tell(_open[offer.Copy].Enter(offer)));
        Receive<CopyChunk>(chunk => _open.ContainsKey(chunk.Copy), OnChunk);
        // The last acknowledgement was lost.
        Receive<CopyChunk>(chunk => Sender.Tell(new CopyReceived(chunk.Copy, chunk.Offset + chunk.Bytes.Length)));
        Receive<CopyMissing>(missing => _open.ContainsKey(missing.Copy), OnMissing);
        Receive<PatienceTick>(_ => Ask());
        ReceiveAny(_ => { });
    }

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    internal static Props Props(IReadOnlyList<(CopyId Copy, IActorRef Holder)> sources) => Akka.Actor.Props.Create(() => new CopyFetcher(sources));

    /// <inheritdoc/>
    protected override void PreStart()
    {
        foreach (var (copy, _) in _sources) _open.Add(copy, new CopyAssembly(copy));
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

    private void OnChunk(CopyChunk chunk)
    {
        var assembly = _open[chunk.Copy];
        if (assembly.Enter(chunk) is not { } received) return;
        Timers.StartSingleTimer("patience", new PatienceTick(), Patience);
        Sender.Tell(received);
        if (assembly.TakeWhole() is not { } copy) return;
        _whole.Add(copy);
        _open.Remove(chunk.Copy);
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
        Receive<CopyChunk>(chunk => Sender.Tell(new CopyReceived(chunk.Copy, chunk.Offset + chunk.Bytes.Length)));
        Receive<ReceiveTimeout>(_ => Context.Stop(Self));
        ReceiveAny(_ => { });
    }

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
