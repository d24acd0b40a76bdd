using System.Runtime.InteropServices;
using Pipeline.Checkpoints;
using Pipeline.Model.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// A copy of a stage's state in host memory, so that training goes on while it is written. Knows no tensor once copied. Owns its memory,
/// which it takes at the first copy and keeps for the next; between a copy and the end of its writing nobody else touches it.
/// </summary>
internal sealed unsafe class StateSnapshot : IDisposable
{
    private const long PieceLength = 1 << 26;
    private byte* _memory;
    private long _capacity;

    internal IReadOnlyList<TensorSource> Weights { get; private set; } = [];

    internal IReadOnlyList<TensorSource> Moments { get; private set; } = [];

    /// <summary>Copies the state as it is now. On the compute thread.</summary>
    internal void Copy(IEnumerable<StateTensor> tensors)
    {
        using var guard = no_grad();
        var state = tensors.ToArray();
        Reserve(state.Sum(tensor => ByteCountOf(tensor.Tensor)));
        List<TensorSource> weights = [], moments = [];
        long offset = 0;
        foreach (var tensor in state)
        {
            var place = _memory + offset;
            CopyInto(place, tensor.Tensor);
            (tensor.IsMoment ? moments : weights).Add(new TensorSource(tensor.Name, TypeOf(tensor.Tensor), [.. tensor.Tensor.shape], Reader((nint)place)));
            offset += ByteCountOf(tensor.Tensor);
        }

        Weights = weights;
        Moments = moments;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
        _capacity = 0;
    }

    private static CopyBytes Reader(nint place) =>
        (offset, destination) => new ReadOnlySpan<byte>((byte*)place + offset, destination.Length).CopyTo(destination);

    private static void CopyInto(byte* place, Tensor tensor)
    {
        using var scope = NewDisposeScope();
        var onHost = (tensor.device_type == DeviceType.CPU ? tensor : tensor.cpu()).reshape(-1);
        for (long start = 0; start < onHost.numel(); start += PieceLength)
        {
            using var piece = onHost.narrow(0, start, Math.Min(PieceLength, onHost.numel() - start));
            var bytes = piece.bytes;
            bytes.CopyTo(new Span<byte>(place, bytes.Length));
            place += bytes.Length;
        }
    }

    private static long ByteCountOf(Tensor tensor) => tensor.numel() * tensor.element_size();

    private static string TypeOf(Tensor tensor) => tensor.dtype == ScalarType.Float64 ? TensorTypes.F64 : TensorTypes.F32;

    private void Reserve(long byteCount)
    {
        if (byteCount <= _capacity) return;
        Dispose();
        _memory = (byte*)NativeMemory.AlignedAlloc((nuint)byteCount, 64);
        _capacity = byteCount;
    }
}
