using System.Collections.Immutable;
using Pipeline.Cli.Configuration;
using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Schedules;

namespace Pipeline.Cli.Planning;

/// <summary>What units cost where nobody has measured them: from their multiply-adds and a device's speed.</summary>
internal static class UnitEstimates
{
    // AdamW touches each parameter some ten times; on the whole a small part of a step.
    private const double OptimizerOperations = 20;

    private const int GradientElementBytes = 4;

    private const double AnyFlops = 1e9;

    /// <summary>A profile for a micro-batch of one sample, which scales to any.</summary>
    /// <param name="settings">The model.</param>
    /// <param name="flops">Operations a second of a device; null where nobody knows them, so that times are proportions only.</param>
    public static ModelProfile Of(RunSettings settings, double? flops = null) => new()
    {
        Source = flops is { } known ? FormattableString.Invariant($"estimated from multiply-adds at {known / 1e9:#,0.#} GFLOP/s") : "estimated from multiply-adds",
        IsMeasured = false,
        BySize = ImmutableSortedDictionary<int, ImmutableArray<UnitProfile>>.Empty.Add(1, [.. DecoderTransformer.Units(settings.Model).Select(unit => Of(unit, settings, flops ?? AnyFlops))]),
    };

    private static UnitProfile Of(Unit unit, RunSettings settings, double flops)
    {
        var sizes = UnitSizes.Of(unit, settings, 1);
        var forward = 2 * unit.Cost * settings.Model.Context / flops;
        return new UnitProfile
        {
            Name = unit.Name,
            Forward = forward,
            Backward = 2 * forward,
            InputGradient = forward,
            WeightGradient = forward,
            Optimizer = sizes.ParameterCount * OptimizerOperations / flops,
            KeptBytes = sizes.KeptBytes,
            DeferredBytes = sizes.KeptBytes,
            OutputBytes = sizes.OutputBytes,
            StateBytes = sizes.StateBytes,
            GradientBytes = sizes.ParameterCount * GradientElementBytes,
        };
    }
}

/// <summary>Sizes of a unit that follow from its shape.</summary>
/// <param name="ParameterCount">Parameters, its own and tied ones.</param>
/// <param name="KeptBytes">Activations of a micro-batch.</param>
/// <param name="OutputBytes">Output of a micro-batch.</param>
/// <param name="StateBytes">Weights, gradients and moments.</param>
internal readonly record struct UnitSizes(long ParameterCount, long KeptBytes, long OutputBytes, long StateBytes)
{
    public static UnitSizes Of(Unit unit, RunSettings settings, int microBatchSize)
    {
        var isBf16 = settings.Precision == PrecisionChoice.Bf16;
        var elementBytes = isBf16 ? 2 : 4;
        var tokens = (double)microBatchSize * settings.Model.Context;
        var parameters = unit.Parameters.Sum(spec => spec.ElementCount);
        return new UnitSizes(
            parameters,
            (long)(unit.KeptElementsPerToken * tokens * elementBytes),
            (long)(settings.Model.Width * tokens * elementBytes),
            (long)(parameters * ParameterBytes.Of(isBf16 ? Precision.Bf16 : Precision.Fp32, settings.Step.OptimizerShardCount, settings.Step.GradientShardCount)));
    }
}
