using Pipeline.Model;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Tests.Model;

/// <summary>Models small enough for exhaustive checks, and micro-batches that are a pure function of their position.</summary>
internal static class TinyModels
{
    internal static ModelSettings Settings(int layers = 2, bool tied = true, double dropout = 0) => new()
    {
        Layers = layers, Width = 32, Heads = 2, KeyValueHeads = 2, Context = 8, Vocabulary = 64, Tied = tied, Dropout = dropout,
    };

    internal static ModelSettings LlamaSettings(int layers = 2) => Settings(layers, tied: false) with
    {
        Norm = NormKind.Rms, Positions = PositionKind.Rope, Activation = ActivationKind.SwiGlu, KeyValueHeads = 1,
    };

    internal static StageModel Whole(ModelSettings settings, Precision precision = Precision.Fp32, ulong seed = 1, bool trains = true)
    {
        var units = DecoderTransformer.Units(settings);
        return new StageModel(units, 0, units.Count, new StageOptions(precision, CPU, seed, trains));
    }

    internal static OptimizerSettings Optimizer => new() { LearningRate = 1e-2, Warmup = 2, Horizon = 20 };
}

/// <summary>Random tokens keyed by position.</summary>
internal sealed class RandomTokens(ModelSettings settings, int microBatchCount, int microBatchSize, ulong seed = 7) : IBatchSource
{
    public int MicroBatchCount => microBatchCount;

    public MicroBatch Training(long step, int index, Device device)
    {
        var first = ((step - 1) * microBatchCount + index) * microBatchSize;
        return Make(step, index, [.. Enumerable.Range(0, microBatchSize).Select(row => first + row)], device);
    }

    public MicroBatch? Validation(int index, Device device) =>
        index < 3 ? Make(0, index, [.. Enumerable.Range(0, microBatchSize).Select(row => 1_000_000L + index * microBatchSize + row)], device) : null;

    private MicroBatch Make(long step, int index, long[] samples, Device device)
    {
        var (tokens, targets) = (new long[samples.Length * settings.Context], new long[samples.Length * settings.Context]);
        for (var row = 0; row < samples.Length; row++)
        {
            for (var time = 0; time < settings.Context; time++)
            {
                tokens[row * settings.Context + time] = Token(samples[row], time);
                targets[row * settings.Context + time] = Token(samples[row], time + 1);
            }
        }

        return new MicroBatch(step, index, samples, tensor(tokens, [samples.Length, settings.Context], device: device),
            tensor(targets, [samples.Length, settings.Context], device: device));
    }

    private long Token(long sample, int time) => Philox.Draw(seed, (uint)time, 0, (ulong)sample).A % (uint)settings.Vocabulary;
}
