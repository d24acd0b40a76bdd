using Akka.Actor;
using Pipeline.Protocol;
using static Pipeline.Protocol.CopyProtocol;

namespace Pipeline.Stages;

/// <summary>
/// The receiving end of one copy's transfer: puts chunks or parts together, says how far it has come, and hands the copy out once it is
/// whole and its checksum right. Owns the memory until then, and the way in.
/// </summary>
/// <param name="id">Which copy.</param>
/// <param name="memory">Where the copy is put; stays the caller's.</param>
/// <param name="inlet">Where parts come in over a link; null where chunks come as messages only.</param>
internal sealed class CopyAssembly(CopyId id, CopyMemory memory, CopyInlet? inlet) : IDisposable
{
    private StateCopy? _place;
    private OfferCopy? _offer;
    private long _received;

    /// <summary>Who sends it.</summary>
    internal IActorRef Sender { get; private set; } = ActorRefs.Nobody;

    /// <summary>How far it has come. What is not checked yet is not whole, so that its last byte counts as missing.</summary>
    internal CopyReceived Progress => new(id, Math.Max(0, Math.Min(_received, (_place?.ByteCount ?? 0) - 1)), inlet?.Address ?? "", inlet?.Number ?? 0);

    /// <summary>Begins, or begins anew where another copy is offered than before; the same offer again changes nothing.</summary>
    internal void Enter(OfferCopy offer, IActorRef sender)
    {
        Sender = sender;
        if (_offer is { } known && known.ByteCount == offer.ByteCount && known.Checksum == offer.Checksum) return;
        _place?.Dispose();
        _place = new StateCopy(id, offer.Tensors, offer.ByteCount, memory);
        (_offer, _received) = (offer, 0);
        inlet?.Direct(_place);
    }

    /// <summary>Takes the chunk that comes next; any other one changes nothing.</summary>
    internal void Enter(CopyChunk chunk)
    {
        if (_place is not { } place || chunk.Offset != _received || chunk.Bytes.Length > place.ByteCount - _received) return;
        place.Write(chunk.Offset, chunk.Bytes.Span);
        _received += chunk.Bytes.Length;
    }

    /// <summary>Takes note of a part that lies in the memory already; one that leaves a gap changes nothing.</summary>
    internal void Enter(CopyPartArrived part)
    {
        if (!ReferenceEquals(part.Place, _place) || part.Inlet != inlet?.Number || part.Offset > _received) return;
        _received = Math.Max(_received, part.Offset + CopyPart.LengthAt(_place, part.Offset));
    }

    /// <summary>Hands the copy out, once it is whole and nobody writes into it. A copy whose bytes were altered on the way is begun anew.</summary>
    internal StateCopy? TakeWhole()
    {
        if (_place is not { } place || _received < place.ByteCount || inlet is { IsQuiet: false }) return null;
        if ((inlet?.Checksum(place) ?? place.Checksum()) != _offer!.Checksum)
        {
            _received = 0;
            return null;
        }

        _place = null;
        inlet?.Dispose();
        return place;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _place?.Dispose();
        _place = null;
        inlet?.Dispose();
    }
}
