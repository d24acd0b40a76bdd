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

    /// <summary>The same sizes with the times of another measurement.</summary>
    /// <param name="other">The same unit, measured elsewhere.</param>
    public UnitProfile WithTimesOf(UnitProfile other) => this with
    {
        Forward = other.Forward,
        Backward = other.Backward,
        InputGradient = other.InputGradient,
        WeightGradient = other.WeightGradient,
        Optimizer = other.Optimizer,
        SelectiveRecompute = other.SelectiveRecompute,
    };

    /// <summary>The same unit on a machine of another speed.</summary>
    /// <param name="speed">Beside this one's, above 0.</param>
    public UnitProfile At(double speed) => this with
    {
        Forward = Forward / speed,
        Backward = Backward / speed,
        InputGradient = InputGradient / speed,
        WeightGradient = WeightGradient / speed,
        Optimizer = Optimizer / speed,
        SelectiveRecompute = SelectiveRecompute / speed,
    };

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

    /// <summary>The same on a machine of another speed, such as one whose processors are shared.</summary>
    /// <param name="speed">Beside this one's, above 0.</param>
    public ModelProfile At(double speed) => speed == 1 ? this : this with
    {
        BySize = BySize.ToImmutableSortedDictionary(size => size.Key, size => size.Value.Select(unit => unit.At(speed)).ToImmutableArray()),
        ActionOverhead = ActionOverhead / speed,
    };

    /// <summary>
    /// How fast this machine is beside another, by the work of all units on a micro-batch: of a size that was measured on both, the nearest to the one wanted, since small ones take more
    /// than their share; where there is none, in proportion.
    /// </summary>
    /// <param name="other">The other's profile, of the same model.</param>
    /// <param name="microBatchSize">Samples of a micro-batch.</param>
    public double SpeedBeside(ModelProfile other, int microBatchSize)
    {
        int[] common = [.. BySize.Keys.Intersect(other.BySize.Keys)];
        var size = common.Length == 0 ? microBatchSize : common.MinBy(measured => Distance(measured, microBatchSize));
        return other.Work(size) / Work(size);
    }

    private double Work(int microBatchSize) => For(microBatchSize).Sum(unit => unit.WorkUnder(isSplit: true, RecomputePolicy.None));

    private static double Distance(int size, int other) => Math.Abs(Math.Log((double)size / other));

    /// <summary>The units for a size of micro-batch: as given, or in proportion to the nearest size that is.</summary>
    public ImmutableArray<UnitProfile> For(int microBatchSize)
    {
        if (BySize.TryGetValue(microBatchSize, out var exact))
            return exact;
        var nearest = BySize.Keys.MinBy(size => Distance(size, microBatchSize));
        return [.. BySize[nearest].Select(unit => unit.Scaled((double)microBatchSize / nearest))];
    }
}
