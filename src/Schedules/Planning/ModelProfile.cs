using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// What one unit of a model costs for one micro-batch of a given size, on a rank of speed 1. Times in seconds, or in any other
/// unit that all share.
/// </summary>
public sealed record UnitProfile
{
    /// <summary>The unit's name.</summary>
    public required string Name { get; init; }

    /// <summary>Forward.</summary>
    public required double Forward { get; init; }

    /// <summary>The whole backward.</summary>
    public required double Backward { get; init; }

    /// <summary>The half that yields the gradient of the input.</summary>
    public required double InputGradient { get; init; }

    /// <summary>The half that yields the gradients of the parameters.</summary>
    public required double WeightGradient { get; init; }

    /// <summary>The optimizer's step; does not depend on the micro-batch.</summary>
    public required double Optimizer { get; init; }

    /// <summary>Bytes of activations from the forward to the end of the backward.</summary>
    public required long KeptBytes { get; init; }

    /// <summary>Bytes kept instead where recomputation is selective; null for <see cref="KeptBytes"/>: the unit drops nothing then.</summary>
    public long? SelectiveKeptBytes { get; init; }

    /// <summary>What it takes to make again what selective recomputation drops.</summary>
    public double SelectiveRecompute { get; init; }

    /// <summary>Bytes that wait for the weight-gradient half.</summary>
    public required long DeferredBytes { get; init; }

    /// <summary>Bytes of the output, which is the next unit's input.</summary>
    public required long OutputBytes { get; init; }

    /// <summary>Bytes of weights, gradients and moments.</summary>
    public required long StateBytes { get; init; }

    /// <summary>Bytes of the gradient that replicas would exchange.</summary>
    public required long GradientBytes { get; init; }

    /// <summary>The time of its recomputation under a policy.</summary>
    internal double RecomputeUnder(RecomputePolicy policy) => policy switch
    {
        RecomputePolicy.Full => Forward,
        RecomputePolicy.Selective => SelectiveRecompute,
        _ => 0,
    };

    /// <summary>All its work on a micro-batch.</summary>
    /// <param name="isSplit">Whether the backward runs as two halves.</param>
    /// <param name="recompute">What is made again.</param>
    public double WorkUnder(bool isSplit, RecomputePolicy recompute) =>
        Forward + (isSplit ? InputGradient + WeightGradient : Backward) + RecomputeUnder(recompute);

    /// <summary>The same unit for another size of micro-batch, all that depends on it in proportion.</summary>
    internal UnitProfile Scaled(double factor) => this with
    {
        Forward = Forward * factor,
        Backward = Backward * factor,
        InputGradient = InputGradient * factor,
        WeightGradient = WeightGradient * factor,
        SelectiveRecompute = SelectiveRecompute * factor,
        KeptBytes = (long)(KeptBytes * factor),
        SelectiveKeptBytes = (long?)(SelectiveKeptBytes * factor),
        DeferredBytes = (long)(DeferredBytes * factor),
        OutputBytes = (long)(OutputBytes * factor),
    };
}

/// <summary>The costs of all units of a model, measured or estimated, for one or several sizes of micro-batch.</summary>
public sealed record ModelProfile
{
    /// <summary>Where the figures are from, to follow "costs".</summary>
    public required string Source { get; init; }

    /// <summary>True where they were measured, so that times are seconds.</summary>
    public required bool IsMeasured { get; init; }

    /// <summary>Costs by samples of a micro-batch; at least one size, each with the same units.</summary>
    public required ImmutableSortedDictionary<int, ImmutableArray<UnitProfile>> BySize { get; init; }

    /// <summary>Time that an action takes besides its units: its bookkeeping, and the message that it sends.</summary>
    public double ActionOverhead { get; init; }

    /// <summary>Time from the end of an action to the moment when its output can be used on another rank.</summary>
    public double HopLatency { get; init; }

    /// <summary>Units.</summary>
    public int UnitCount => BySize.First().Value.Length;

    /// <summary>The units for a size of micro-batch: as given, or in proportion to the nearest size that is.</summary>
    public ImmutableArray<UnitProfile> For(int microBatchSize)
    {
        if (BySize.TryGetValue(microBatchSize, out var exact))
            return exact;
        var nearest = BySize.Keys.MinBy(size => Math.Abs(Math.Log((double)size / microBatchSize)));
        return [.. BySize[nearest].Select(unit => unit.Scaled((double)microBatchSize / nearest))];
    }
}
