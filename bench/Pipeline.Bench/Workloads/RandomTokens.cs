using Pipeline.Model;
using Pipeline.Model.Numerics;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Bench.Workloads;

/// <summary>Micro-batches of uniformly random tokens from a counter-based generator: no corpus, no file, the same on every machine.</summary>
/// <param name="settings">Context and vocabulary.</param>
/// <param name="microBatchCount">Micro-batches of a step.</param>
/// <param name="microBatchSize">Samples of a micro-batch.</param>
internal sealed class RandomTokens(ModelSettings settings, int microBatchCount, int microBatchSize) : IBatchSource
{
    private const ulong Seed = 20;

    /// <inheritdoc/>
    public int MicroBatchCount => microBatchCount;

    /// <summary>Predicted tokens of a step.</summary>
    public long TokensPerStep => (long)microBatchCount * microBatchSize * settings.Context;

    /// <inheritdoc/>
    public MicroBatch Training(long step, int index, Device device)
    {
        var first = ((step - 1) * microBatchCount + index) * microBatchSize;
        long[] samples = [.. Enumerable.Range(0, microBatchSize).Select(row => first + row)];
        return new MicroBatch(step, index, samples, Tokens(samples, 0, device), Tokens(samples, 1, device));
    }

    /// <inheritdoc/>
    public MicroBatch? Validation(int index, Device device) => null;

    private Tensor Tokens(long[] samples, int shift, Device device)
    {
        var tokens = new long[samples.Length * settings.Context];
        for (var place = 0; place < tokens.Length; place++)
        {
            var (row, time) = (place / settings.Context, place % settings.Context + shift);
            tokens[place] = Philox.Draw(Seed, (uint)time, 0, (ulong)samples[row]).A % (uint)settings.Vocabulary;
        }

        return tensor(tokens, [samples.Length, settings.Context], device: device);
    }
}
