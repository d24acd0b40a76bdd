using Pipeline.Protocol;
using static Pipeline.Protocol.CopyProtocol;

namespace Pipeline.Stages;

/// <summary>
/// The receiving end of one copy's transfer: puts chunks together in order, says how far it has come, and hands the copy out once it is
/// whole and its checksum right. Owns the memory until then.
/// </summary>
internal sealed class CopyAssembly(CopyId id) : IDisposable
{
    private StateCopy? _place;
    private OfferCopy? _offer;
    private long _received;

    /// <summary>Begins, or begins anew where another copy is offered than before; the same offer again changes nothing.</summary>
    internal CopyReceived Enter(OfferCopy offer)
    {
        if (_offer is { } known && known.ByteCount == offer.ByteCount && known.Checksum == offer.Checksum) return Received;
        _place?.Dispose();
        _place = new StateCopy(id, offer.Tensors, offer.ByteCount);
        (_offer, _received) = (offer, 0);
        return Received;
    }

    /// <summary>Takes the chunk that comes next; any other one changes nothing. The answer says from where to go on.</summary>
    internal CopyReceived? Enter(CopyChunk chunk)
    {
        if (_place is not { } place) return null;
        if (chunk.Offset == _received && chunk.Bytes.Length <= place.ByteCount - _received)
        {
            place.Write(chunk.Offset, chunk.Bytes.Span);
            _received += chunk.Bytes.Length;
        }

        return Received;
    }

    /// <summary>Hands the copy out, once it is whole. A copy whose bytes were altered on the way is begun anew.</summary>
    internal StateCopy? TakeWhole()
    {
        if (_place is not { } place || _received < place.ByteCount) return null;
        if (place.Checksum() != _offer!.Checksum)
        {
            _received = 0;
            return null;
        }

        _place = null;
        return place;
    }

    /// <inheritdoc/>
    public void Dispose() => _place?.Dispose();

    private CopyReceived Received => new(id, _received);
}
