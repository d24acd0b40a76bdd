using Pipeline.Model;
using Pipeline.Model.Units;
using TorchSharp;

namespace Pipeline.Cli.Planning;

/// <summary>Micro-batches of random tokens, for measurements: costs do not depend on what the tokens are.</summary>
internal sealed class RandomBatches(ModelSettings model, int microBatchCount, int microBatchSize) : IBatchSource
{
    /// <inheritdoc/>
    public int MicroBatchCount => microBatchCount;

    /// <inheritdoc/>
    public MicroBatch Training(long step, int index, torch.Device device)
    {
        var first = ((step - 1) * microBatchCount + index) * microBatchSize;
        long[] samples = [.. Enumerable.Range(0, microBatchSize).Select(row => first + row)];
        return new MicroBatch(step, index, samples, Tokens(first, 0, device), Tokens(first, 1, device));
    }

    /// <inheritdoc/>
    public MicroBatch? Validation(int index, torch.Device device) => null;

    // Targets are the tokens shifted by one, as in a text.
    private torch.Tensor Tokens(long first, int shift, torch.Device device)
    {
        var tokens = new long[(long)microBatchSize * model.Context];
        for (var place = 0; place < tokens.Length; place++)
            tokens[place] = (long)(((ulong)(first + place + shift) * 0x9E3779B97F4A7C15UL) >> 33) % model.Vocabulary;
        return torch.tensor(tokens, [microBatchSize, model.Context], device: device);
    }
}
