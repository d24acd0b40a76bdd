using Akka.Actor;
using Akka.Event;
using Pipeline.Protocol;
using static Pipeline.Protocol.CopyProtocol;

namespace Pipeline.Stages;

/// <summary>
/// Holds copies of the state of other nodes' ranks: the two newest whole ones of each rank, and those that are being received. Gives them
/// to replacements. Owns the copies until they are superseded, the run is over or the actor stops.
/// </summary>
public sealed class CopyHolder : ReceiveActor
{
    private const int KeptCount = 2;
    private static readonly long MemoryOfMachine = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
    private readonly CopyLinks? _links;
    private readonly StrayInputs _strays;
    private readonly Dictionary<CopyId, CopyAssembly> _open = [];
    private readonly Dictionary<CopyId, StateCopy> _whole = [];
    private readonly Dictionary<(RunId Run, int Rank), CopyMemory> _memories = [];
    private readonly BorrowedMemory _borrowed = new();

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public CopyHolder(CopyLinks? links)
    {
        _links = links;
        var log = Context.GetLogger();
        _strays = new StrayInputs(TimeProvider.System, sentence => log.Say(LogLevel.WarningLevel, new LogSaying("copy-refused", sentence)));
        Receive<OfferCopy>(OnOffer);
        Receive<CopyChunk>(OnChunk);
        Receive<CopyPartArrived>(OnPart);
        Receive<FetchCopy>(OnFetch);
        Receive<ReportHeld>(report => Sender.Tell(new HeldCopies([.. _whole.Keys.Where(copy => copy.Run == report.Run)])));
        Receive<ForgetRun>(OnForget);
        ReceiveAny(_ => { });
    }

    /// <summary>How to make one.</summary>
    /// <param name="links">How copies travel between processes; null where they come as messages.</param>
    public static Props Props(CopyLinks? links = null) => Akka.Actor.Props.Create(() => new CopyHolder(links));

    /// <inheritdoc/>
    protected override void PostStop()
    {
        foreach (var assembly in _open.Values) assembly.Dispose();
        foreach (var copy in _whole.Values) copy.Dispose();
        foreach (var memory in _memories.Values) memory.Dispose();
    }

    private void OnOffer(OfferCopy offer)
    {
        if (_whole.ContainsKey(offer.Copy))
        {
            if (offer.Memory is { } unused) _borrowed.Decline(offer.Copy.Run, unused);
            Sender.Tell(Whole(offer.Copy, offer.ByteCount));
            return;
        }

        if (StateCopy.FaultOf(offer, MemoryOfMachine) is { } fault)
        {
            _strays.Refuse($"a copy of rank {offer.Copy.Rank} after step {offer.Copy.Step} from {Sender.Path}: {fault}");
            return;
        }

        if (offer.Memory is { } memory)
        {
            Map(offer, memory);
            return;
        }

        if (!_open.TryGetValue(offer.Copy, out var assembly)) _open.Add(offer.Copy, assembly = new CopyAssembly(offer.Copy, MemoryOf(offer.Copy), _links?.Open(Self)));
        assembly.Enter(offer, Sender);
        // A state of no bytes is whole as soon as it is offered.
        Proceed(offer.Copy, assembly);
    }

    private void OnChunk(CopyChunk chunk)
    {
        if (_whole.TryGetValue(chunk.Copy, out var whole))
        {
            Sender.Tell(Whole(chunk.Copy, whole.ByteCount));
            return;
        }

        if (!_open.TryGetValue(chunk.Copy, out var assembly)) return;
        assembly.Enter(chunk);
        Proceed(chunk.Copy, assembly);
    }

    private void OnPart(CopyPartArrived part)
    {
        if (!_open.TryGetValue(part.Place.Id, out var assembly)) return;
        assembly.Enter(part);
        Proceed(part.Place.Id, assembly);
    }

    /// <summary>Takes a copy from where it lies, or says that it must be sent.</summary>
    private void Map(OfferCopy offer, LentMemory memory)
    {
        if (_links?.Lends != true || _borrowed.Borrow(offer.Copy.Run, memory, offer.ByteCount) is not { } block)
        {
            Sender.Tell(new CopyReceived(offer.Copy, CopyReceived.NotMapped));
            return;
        }

        if (_open.Remove(offer.Copy, out var assembly)) assembly.Dispose();
        Keep(new StateCopy(offer.Copy, offer.Tensors, block), Sender);
    }

    /// <summary>Says how far a copy has come, and keeps it once it is whole.</summary>
    private void Proceed(CopyId id, CopyAssembly assembly)
    {
        if (assembly.TakeWhole() is not { } copy)
        {
            assembly.Sender.Tell(assembly.Progress);
            return;
        }

        _open.Remove(id);
        Keep(copy, assembly.Sender);
    }

    /// <summary>Keeps a copy that is whole; older ones of its rank go.</summary>
    private void Keep(StateCopy copy, IActorRef sender)
    {
        var id = copy.Id;
        _whole.Add(id, copy);
        var outdated = _whole.Keys.Concat(_open.Keys).Where(other => (other.Run, other.Rank) == (id.Run, id.Rank))
            .OrderByDescending(other => other.PartitionedIn.Number).ThenByDescending(other => other.Step).Where(other => other != id && IsOlder(other, id)).Skip(KeptCount - 1).ToHashSet();
        Forget(outdated.Contains);
        sender.Tell(Whole(id, copy.ByteCount));
    }

    private CopyReceived Whole(CopyId id, long byteCount) => new(id, byteCount, Mapped: _borrowed.Names);

    private void OnForget(ForgetRun forget)
    {
        Forget(copy => copy.Run == forget.Run);
        _borrowed.Forget(forget.Run);
    }

    private static bool IsOlder(CopyId one, CopyId other) => (one.PartitionedIn.Number, one.Step).CompareTo((other.PartitionedIn.Number, other.Step)) < 0;

    private void OnFetch(FetchCopy fetch)
    {
        if (!_whole.TryGetValue(fetch.Copy, out var copy))
        {
            Sender.Tell(new CopyMissing(fetch.Copy));
            return;
        }

        // One sender for each asker: a question that is asked again is answered by the one that answers already.
        var name = Uri.EscapeDataString($"to-{Sender.Path.ToStringWithAddress()}-{fetch.Copy.Rank}-{fetch.Copy.Step}").Replace("%", "", StringComparison.Ordinal);
        if (Context.Child(name).IsNobody()) Context.ActorOf(CopySender.Props(copy, Sender, _links, endsWithReceiver: true), name);
    }

    private CopyMemory MemoryOf(CopyId copy)
    {
        if (!_memories.TryGetValue((copy.Run, copy.Rank), out var memory)) _memories.Add((copy.Run, copy.Rank), memory = new CopyMemory());
        return memory;
    }

    private void Forget(Func<CopyId, bool> isForgotten)
    {
        foreach (var id in _open.Keys.Where(isForgotten).ToArray())
        {
            _open[id].Dispose();
            _open.Remove(id);
        }

        foreach (var id in _whole.Keys.Where(isForgotten).ToArray())
        {
            _whole[id].Dispose();
            _whole.Remove(id);
        }

        var left = _open.Keys.Concat(_whole.Keys).Select(id => (id.Run, id.Rank)).ToHashSet();
        foreach (var key in _memories.Keys.Where(key => !left.Contains(key)).ToArray())
        {
            _memories[key].Dispose();
            _memories.Remove(key);
        }
    }
}

/// <summary>Asks a copy holder what it holds of a run, whole.</summary>
public sealed record ReportHeld(RunId Run) : INoSerializationVerificationNeeded;

/// <summary>What a copy holder holds.</summary>
public sealed record HeldCopies(IReadOnlyList<CopyId> Copies) : INoSerializationVerificationNeeded;

/// <summary>A run is over: its copies may go.</summary>
public sealed record ForgetRun(RunId Run) : INoSerializationVerificationNeeded;
