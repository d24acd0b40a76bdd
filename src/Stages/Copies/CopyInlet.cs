using System.IO.Hashing;
using Akka.Actor;
using Pipeline.Protocol.Frames;

namespace Pipeline.Stages;

/// <summary>
/// Where the parts of one copy that is being received come in over a link: straight into its memory. Tells its actor of each. Made by
/// <see cref="CopyLinks"/>, closed by the actor. Thread-safe.
/// </summary>
/// <param name="address">Where the process's links listen.</param>
/// <param name="number">What frames name.</param>
/// <param name="receiver">Told <see cref="CopyPartArrived"/>.</param>
/// <param name="closed">Called when it is closed.</param>
internal sealed class CopyInlet(string address, int number, IActorRef receiver, Action closed) : IDisposable
{
    private readonly Lock _gate = new();
    private XxHash3 _hash = new();
    private StateCopy? _place;
    private long _hashed;
    private int _rentedCount;

    /// <summary>Where the process's links listen.</summary>
    internal string Address => address;

    /// <summary>What frames name.</summary>
    internal int Number => number;

    /// <summary>Whether no link may be writing at the moment: only then is what was checked what stays.</summary>
    internal bool IsQuiet
    {
        get
        {
            lock (_gate) return _rentedCount == 0;
        }
    }

    /// <summary>Parts go into this copy from now on; it stays the caller's.</summary>
    internal void Direct(StateCopy place)
    {
        lock (_gate)
        {
            _place?.Dispose();
            _place = place.Share();
            _hash = new XxHash3();
            _hashed = 0;
        }
    }

    /// <summary>The checksum of the copy that parts go into, all of which have come.</summary>
    internal ulong Checksum(StateCopy place)
    {
        lock (_gate)
        {
            if (ReferenceEquals(place, _place) && _hashed == place.ByteCount) return _hash.GetCurrentHashAsUInt64();
        }

        return place.Checksum();
    }

    /// <summary>Memory for a part.</summary>
    /// <exception cref="FrameException">It is none of the copy's.</exception>
    internal CopyPart Rent(FrameHeader header)
    {
        lock (_gate)
        {
            var offset = (long)header.Key.MicroBatch * CopyPart.Length;
            if (_place is not { } place || header.Key.Edge != place.Id.Rank || header.Key.Step.Step != place.Id.Step || header.Key.Step.Run != place.Id.Run
                || offset >= place.ByteCount || header.Tensors.Count != 1 || header.Tensors[0].DataType != FrameDataType.Byte || header.Tensors[0].ByteCount != CopyPart.LengthAt(place, offset))
                throw new FrameException($"Tensor frame {header.Key}: no such part of a copy is taken here.");
            _rentedCount++;
            // It is written once more: what was summed is not what will lie there.
            if (offset < _hashed) _hashed = long.MinValue;
            return new CopyPart(place, offset, _ => Returned());
        }
    }

    /// <summary>A part has come whole.</summary>
    internal void Arrived(CopyPart part)
    {
        CopyPartArrived arrived = new(number, part.Copy, part.Offset);
        // On the link's thread, while the bytes are at hand, rather than all at once on the actor's.
        SumOf(part)?.Append(part.GetSpan());
        part.Dispose();
        receiver.Tell(arrived);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _place?.Dispose();
            _place = null;
        }

        closed();
    }

    /// <summary>What sums the parts, where this one is the next and no other connection may be writing; whoever writes there later ends the summing.</summary>
    private XxHash3? SumOf(CopyPart part)
    {
        lock (_gate)
        {
            if (!ReferenceEquals(part.Copy, _place) || part.Offset != _hashed || _rentedCount > 1) return null;
            _hashed += part.GetSpan().Length;
            return _hash;
        }
    }

    private void Returned()
    {
        lock (_gate) _rentedCount--;
    }
}

/// <summary>A part of a copy lies where it belongs.</summary>
/// <param name="Inlet">Through which it came.</param>
/// <param name="Place">The copy, to be told from others by reference; its memory may be gone.</param>
/// <param name="Offset">Where the part begins.</param>
internal sealed record CopyPartArrived(int Inlet, StateCopy Place, long Offset) : INoSerializationVerificationNeeded;
