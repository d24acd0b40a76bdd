using Pipeline.Model;
using Pipeline.Model.Training;

namespace Pipeline.Bench.Workloads;

/// <summary>The models that the benchmarks train.</summary>
internal static class BenchModels
{
    /// <summary>Learning does not matter here: small steps that stay finite.</summary>
    public static OptimizerSettings Optimizer { get; } = new() { LearningRate = 1e-4, Warmup = 10, Horizon = 1000 };

    /// <summary>A tiny model that stands in for any other with <c>--quick</c>.</summary>
    public static ModelSettings Tiny(int vocabulary = 512) => Gpt(2, 64, 2, 32, vocabulary);

    /// <summary>The model of the preset gpt-nano, 4 × 128 × 4 with a tied vocabulary of 2,048.</summary>
    public static ModelSettings Nano { get; } = Gpt(4, 128, 4, 128, 2048) with { Tied = true };

    /// <summary>A decoder with GELU, learned positions and untied embeddings.</summary>
    public static ModelSettings Gpt(int layers, int width, int heads, int context, int vocabulary) => new()
    {
        Layers = layers, Width = width, Heads = heads, KeyValueHeads = heads, Context = context, Vocabulary = vocabulary, Tied = false,
    };
}
