using MessagePack;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Wire;

namespace Pipeline.Protocol;

/// <summary>
/// How a copy of a rank's state travels, from the rank to its holder and from the holder to a replacement: offered by a message, then, between
/// nodes with links, sent in frames over a link of its own (<see cref="FrameKind.StateCopy"/>), so that bulk never shares a connection with heartbeats; inside a process,
/// and where there are no links, in chunks of which a few are under way at a time. On one machine nothing need travel: the receiver maps the memory that the copy lies in
/// (<see cref="LentMemory"/>). Acknowledged by the count of bytes that have come without
/// a gap. What is lost is sent again from there.
/// </summary>
public static class CopyProtocol
{
    /// <summary>A message of a transfer.</summary>
    public interface ITransfer : IWireMessage
    {
        /// <summary>What is transferred.</summary>
        CopyId Copy { get; }
    }

    /// <summary>Here comes a copy: what lies in it, in order. The bytes follow; answered by <see cref="CopyReceived"/>.</summary>
    /// <param name="Copy">Which.</param>
    /// <param name="Tensors">What lies in the bytes, one after the other without padding.</param>
    /// <param name="ByteCount">Bytes of all tensors.</param>
    /// <param name="Checksum">XXH3 of the bytes; of no meaning where memory is named.</param>
    /// <param name="Memory">Where the bytes lie already, for a receiver of the same machine: it has them whole, or answers <see cref="CopyReceived.NotMapped"/> bytes and is offered them otherwise. Null if they are to be sent.</param>
    [MessagePackObject]
    public sealed record OfferCopy(
        [property: Key(0)] CopyId Copy,
        [property: Key(1)] IReadOnlyList<CopyTensor> Tensors,
        [property: Key(2)] long ByteCount,
        [property: Key(3)] ulong Checksum,
        [property: Key(4)] LentMemory? Memory = null) : ITransfer;

    /// <summary>Some bytes of a copy.</summary>
    [MessagePackObject]
    public sealed record CopyChunk(
        [property: Key(0)] CopyId Copy,
        [property: Key(1)] long Offset,
        [property: Key(2)] ReadOnlyMemory<byte> Bytes) : ITransfer
    {
        /// <summary>Bytes of a full chunk: small enough for the control connection's frames and for the small-object heap.</summary>
        public const int Length = 48 * 1024;
    }

    /// <summary>So many bytes have come without a gap; all of them: the copy is whole and its checksum right.</summary>
    /// <param name="Copy">Which.</param>
    /// <param name="ByteCount">Bytes.</param>
    /// <param name="LinkAddress">Where the receiver's links listen; empty where it takes chunks only.</param>
    /// <param name="Inlet">What frames of the copy name as their slice.</param>
    /// <param name="Mapped">Where the copy is whole: names of the memories of other processes that the receiver has mapped. Those that it was offered and does not name it will not look at again.</param>
    [MessagePackObject]
    public sealed record CopyReceived(
        [property: Key(0)] CopyId Copy,
        [property: Key(1)] long ByteCount,
        [property: Key(2)] string LinkAddress = "",
        [property: Key(3)] int Inlet = 0,
        [property: Key(4)] IReadOnlyList<string>? Mapped = null) : ITransfer
    {
        /// <summary>Stands for the bytes where the offered memory cannot be mapped.</summary>
        public const long NotMapped = -1;
    }

    /// <summary>Send me this copy, from the beginning; answered by <see cref="OfferCopy"/> or <see cref="CopyMissing"/>.</summary>
    [MessagePackObject]
    public sealed record FetchCopy([property: Key(0)] CopyId Copy) : ITransfer;

    /// <summary>The asked holder does not have the copy.</summary>
    [MessagePackObject]
    public sealed record CopyMissing([property: Key(0)] CopyId Copy) : ITransfer;
}

/// <summary>Which copy: the state of a rank after a step.</summary>
/// <param name="Run">Run.</param>
/// <param name="PartitionedIn">The generation in which the partition of the run began: after a move of units a rank is another one.</param>
/// <param name="Rank">Rank.</param>
/// <param name="Step">Step whose end the state is of.</param>
[MessagePackObject]
public readonly record struct CopyId(
    [property: Key(0)] RunId Run,
    [property: Key(1)] Generation PartitionedIn,
    [property: Key(2)] int Rank,
    [property: Key(3)] long Step);

/// <summary>A tensor in a copy.</summary>
/// <param name="Name">Logical name.</param>
/// <param name="DataType">Element type as safetensors spells it.</param>
/// <param name="Shape">Dimensions.</param>
[MessagePackObject]
public sealed record CopyTensor(
    [property: Key(0)] string Name,
    [property: Key(1)] string DataType,
    [property: Key(2)] IReadOnlyList<long> Shape);
