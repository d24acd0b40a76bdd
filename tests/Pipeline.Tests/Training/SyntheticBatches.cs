using System.Runtime.InteropServices;
using Pipeline.Model.Units;
using TorchSharp;

namespace Pipeline.Tests.Training;

/// <summary>Tokens that are a pure function of their position: a corpus without files.</summary>
internal sealed class SyntheticBatches(int microBatchCount, int size = 2, int context = 8, int vocabulary = 64, int heldOutCount = 3) : IBatchSource
{
    public int MicroBatchCount => microBatchCount;

    public MicroBatch Training(long step, int index, torch.Device device)
    {
        var first = (step - 1) * microBatchCount * size + index * size;
        return Make(step, index, first, device);
    }

    public MicroBatch? Validation(int index, torch.Device device) => index < heldOutCount ? Make(0, index, 1_000_000 + index * size, device) : null;

    private MicroBatch Make(long step, int index, long first, torch.Device device)
    {
        var samples = Enumerable.Range(0, size).Select(row => first + row).ToArray();
        return new MicroBatch(step, index, samples, Tokens(samples, 0, device), Tokens(samples, 1, device));
    }

    private torch.Tensor Tokens(long[] samples, int shift, torch.Device device)
    {
        using var guard = torch.no_grad();
        var tensor = torch.empty(samples.Length, context, torch.ScalarType.Int64, device).DetachFromDisposeScope();
        var values = MemoryMarshal.Cast<byte, long>(tensor.bytes);
        for (var row = 0; row < samples.Length; row++)
        {
            for (var place = 0; place < context; place++) values[row * context + place] = Token(samples[row], place + shift);
        }

        return tensor;
    }

    private long Token(long sample, int place)
    {
        var mixed = (ulong)(sample * 31 + place) * 0x9E3779B97F4A7C15UL;
        mixed ^= mixed >> 29;
        return (long)(mixed % (ulong)vocabulary);
    }
}
