using System.IO.Hashing;
using Pipeline.Checkpoints;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// A copy of a rank's whole state, or a place for one that is being received: the tensors' bytes one after the other in host memory, and
/// their names. Knows no tensor once taken. Owns its memory until every holder has disposed it: <see cref="Share"/> makes one more. Written by
/// one thread at a time.
/// </summary>
internal sealed unsafe class StateCopy : IDisposable
{
    /// <summary>Named in a copy that was taken after a clipped step by order, where no rank had known beforehand that it would be: the next step's <see cref="StepKey.Attempt"/> is 1.</summary>
    private const string ClippedMark = "next-attempt";
    private const int PieceLength = 1 << 26;
    private readonly Dictionary<string, long> _offsets;
    private readonly CopyMemory _owner;
    private readonly CopyBlock _block;
    private byte* _memory;
    private int _holders = 1;

    /// <summary>A place for a copy.</summary>
    /// <param name="id">Which copy.</param>
    /// <param name="tensors">What lies in it, in order.</param>
    /// <param name="byteCount">Bytes of all tensors.</param>
    /// <param name="memory">Where the memory comes from, and goes when the last holder lets go.</param>
    /// <exception cref="ArgumentException">The tensors do not amount to the bytes.</exception>
    internal StateCopy(CopyId id, IReadOnlyList<CopyTensor> tensors, long byteCount, CopyMemory memory)
        : this(id, tensors, OffsetsOf(tensors, byteCount), memory, memory.Take(byteCount))
    {
    }

    /// <summary>A copy that lies in memory already, and frees it.</summary>
    internal StateCopy(CopyId id, IReadOnlyList<CopyTensor> tensors, CopyBlock block)
        : this(id, tensors, OffsetsOf(tensors, block.ByteCount), CopyMemory.None, block)
    {
    }

    private StateCopy(CopyId id, IReadOnlyList<CopyTensor> tensors, Dictionary<string, long> offsets, CopyMemory owner, CopyBlock block)
    {
        (Id, Tensors, ByteCount, _offsets, _owner, _block) = (id, tensors, block.ByteCount, offsets, owner, block);
        _memory = block.Start;
    }

    /// <summary>Why there can be no place for what is offered, as a clause; null if there can. To be asked before memory is taken.</summary>
    /// <param name="offer">What is offered.</param>
    /// <param name="limit">Bytes that this machine has at all.</param>
    internal static string? FaultOf(CopyProtocol.OfferCopy offer, long limit)
    {
        HashSet<string> names = new(StringComparer.Ordinal);
        Int128 needed = 0;
        if (offer.Tensors is null || offer.Tensors.Any(tensor => tensor is not { Name: not null, DataType: not null, Shape: not null })) return "it names no tensors";
        foreach (var tensor in offer.Tensors)
        {
            if (!names.Add(tensor.Name)) return "it names a tensor twice";
            if (!TensorTypes.IsKnown(tensor.DataType)) return "it has elements of an unknown type";
            // An overflow is more than any machine has.
            if (tensor.Shape.Any(size => size < 0) || (needed += Size(tensor)) > limit) return $"its tensors are negative, or larger than the {limit >> 20:N0} MiB of this machine";
        }

        return needed == offer.ByteCount ? null : $"it claims {offer.ByteCount} bytes, its tensors need {needed}";

        Int128 Size(CopyTensor tensor) => tensor.Shape.Aggregate((Int128)TensorTypes.ElementByteCount(tensor.DataType), (soFar, size) => soFar > limit ? soFar : soFar * size);
    }

    /// <summary>Which copy it is.</summary>
    internal CopyId Id { get; }

    /// <summary>What lies in it, in order.</summary>
    internal IReadOnlyList<CopyTensor> Tensors { get; }

    /// <summary>Bytes of all tensors.</summary>
    internal long ByteCount { get; }

    /// <summary>Where processes of this machine can have it without it being sent to them; null where they cannot.</summary>
    internal LentMemory? Lent => (_block as LendableBlock)?.Lent;

    /// <summary>The <see cref="StepKey.Attempt"/> of the step that follows, which a rank that starts from the copy cannot know otherwise.</summary>
    internal int NextAttempt => Holds(ClippedMark) ? 1 : 0;

    /// <summary>Copies the state of a rank's stages, and what its compression has lost, as they are now. On the compute thread.</summary>
    internal static StateCopy Of(CopyId id, IEnumerable<StageModel> stages, ResidualStore residuals, CopyMemory memory, int nextAttempt = 0)
    {
        using var guard = no_grad();
        // What the rank would load: of a tied parameter that another rank owns, too, since the rank must come back from its own copy alone.
        StageModel[] models = [.. stages];
        var state = models.SelectMany(stage => stage.StateToLoad()).DistinctBy(tensor => tensor.Name).Concat(residuals.State).ToArray();
        CopyTensor[] tensors = [.. state.Select(tensor => new CopyTensor(tensor.Name, TypeOf(tensor.Tensor), [.. tensor.Tensor.shape]))];
        if (nextAttempt > 0) tensors = [.. tensors, new CopyTensor(ClippedMark, TensorTypes.F32, [1])];
        var copy = new StateCopy(id, tensors, tensors.Sum(tensor => TensorTypes.ByteCount(tensor.DataType, tensor.Shape)), memory);
        foreach (var tensor in state) copy.Put(copy._offsets[tensor.Name], tensor.Tensor);
        if (nextAttempt > 0) copy.Write(copy._offsets[ClippedMark], BitConverter.GetBytes((float)nextAttempt));
        foreach (var model in models) model.StateRead();
        return copy;
    }

    /// <summary>Whether a tensor of that name lies in it.</summary>
    internal bool Holds(string name) => _offsets.ContainsKey(name);

    /// <summary>Bytes from an offset on, at most so many. Valid until the copy is disposed.</summary>
    internal ReadOnlySpan<byte> Read(long offset, int atMost) => new(_memory + offset, (int)Math.Min(atMost, ByteCount - offset));

    /// <summary>Where a byte lies. Valid until the copy is disposed.</summary>
    internal byte* At(long offset) => _memory + offset;

    /// <summary>Writes received bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">They reach beyond the end.</exception>
    internal void Write(long offset, ReadOnlySpan<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes.Length, ByteCount - offset);
        bytes.CopyTo(new Span<byte>(_memory + offset, bytes.Length));
    }

    /// <summary>XXH3 of the bytes.</summary>
    internal ulong Checksum()
    {
        XxHash3 hash = new();
        for (long offset = 0; offset < ByteCount; offset += PieceLength) hash.Append(Read(offset, PieceLength));
        return hash.GetCurrentHashAsUInt64();
    }

    /// <summary>The tensors as a file writer wants them. Valid until the copy is disposed.</summary>
    internal IReadOnlyList<TensorSource> Sources() => [.. Tensors.Select(tensor =>
    {
        var start = _offsets[tensor.Name];
        return new TensorSource(tensor.Name, tensor.DataType, tensor.Shape, (offset, destination) => Read(start + offset, destination.Length).CopyTo(destination));
    })];

    /// <summary>Copies a tensor of the copy into one of the model, if it is there.</summary>
    /// <exception cref="InvalidOperationException">It is there under another shape: the copy is of another model.</exception>
    internal bool TryLoad(StateTensor target)
    {
        if (!_offsets.TryGetValue(target.Name, out var offset)) return false;
        var stored = Tensors.First(tensor => tensor.Name == target.Name);
        if (stored.DataType != TypeOf(target.Tensor) || !stored.Shape.SequenceEqual(target.Tensor.shape))
            throw new InvalidOperationException($"In the copy of rank {Id.Rank} after step {Id.Step} the tensor '{target.Name}' is {stored.DataType} [{string.Join(", ", stored.Shape)}]; the model has another shape.");
        using var flat = target.Tensor.view(-1);
        var elementSize = (int)flat.element_size();
        for (long start = 0; start < flat.numel(); start += PieceLength)
        {
            using var piece = flat.narrow(0, start, Math.Min(PieceLength, flat.numel() - start));
            Fill(piece, Read(offset + start * elementSize, checked((int)(piece.numel() * elementSize))));
        }

        return true;
    }

    /// <summary>The memory is not used again when all have let go of it: a process that nobody hears of any more may have it mapped.</summary>
    internal void GiveAway() => (_block as LendableBlock)?.GiveAway();

    /// <summary>One more holder, who disposes the copy too.</summary>
    internal StateCopy Share()
    {
        Interlocked.Increment(ref _holders);
        return this;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Decrement(ref _holders) > 0) return;
        _owner.Return(_block);
        _memory = null;
    }

    private static void Fill(Tensor piece, ReadOnlySpan<byte> bytes)
    {
        if (piece.device_type == DeviceType.CPU)
        {
            bytes.CopyTo(piece.bytes);
            return;
        }

        using var onHost = empty(piece.shape, piece.dtype, CPU);
        bytes.CopyTo(onHost.bytes);
        piece.copy_(onHost);
    }

    private static Dictionary<string, long> OffsetsOf(IReadOnlyList<CopyTensor> tensors, long byteCount)
    {
        Dictionary<string, long> offsets = new(StringComparer.Ordinal);
        long end = 0;
        foreach (var tensor in tensors)
        {
            if (!offsets.TryAdd(tensor.Name, end)) throw new ArgumentException($"A copy names the tensor '{tensor.Name}' twice.", nameof(tensors));
            end = checked(end + TensorTypes.ByteCount(tensor.DataType, tensor.Shape));
        }

        return end == byteCount ? offsets : throw new ArgumentException($"A copy claims {byteCount} bytes, its tensors need {end}.", nameof(byteCount));
    }

    private static string TypeOf(Tensor tensor) => tensor.dtype == ScalarType.Float64 ? TensorTypes.F64 : TensorTypes.F32;

    private void Put(long offset, Tensor tensor)
    {
        using var scope = NewDisposeScope();
        var onHost = (tensor.device_type == DeviceType.CPU ? tensor : tensor.cpu()).reshape(-1);
        for (long start = 0; start < onHost.numel(); start += PieceLength)
        {
            using var piece = onHost.narrow(0, start, Math.Min(PieceLength, onHost.numel() - start));
            var bytes = piece.bytes;
            Write(offset, bytes);
            offset += bytes.Length;
        }
    }
}
