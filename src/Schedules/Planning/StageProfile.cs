using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>What stages cost that hold given units: from the costs of units to those that the simulator takes.</summary>
/// <param name="Costs">Of each stage and kind.</param>
/// <param name="Memory">Of each stage.</param>
/// <param name="OutputBytes">Of each stage.</param>
/// <param name="GradientBytes">Of each stage.</param>
public sealed record StageProfile(
    ActionCosts Costs,
    ImmutableArray<StageMemory> Memory,
    ImmutableArray<long> OutputBytes,
    ImmutableArray<long> GradientBytes)
{
    /// <summary>Adds up the units of each stage.</summary>
    /// <param name="units">For the size of micro-batch at hand.</param>
    /// <param name="partition">The units of each stage.</param>
    /// <param name="actionOverhead">Added to each action on a micro-batch.</param>
    /// <param name="hopLatency">From rank to rank.</param>
    /// <param name="recompute">What a schedule's R makes again: everything unless it is selective, also where the schedule brings its R along.</param>
    public static StageProfile Of(
        ImmutableArray<UnitProfile> units, ImmutableArray<UnitRange> partition, double actionOverhead = 0, double hopLatency = 0, RecomputePolicy recompute = RecomputePolicy.Full)
    {
        var costs = ActionCosts.PerStage(Times(unit => unit.Forward), Times(unit => unit.Backward), hopLatency)
            .With(ActionKind.InputGradient, Times(unit => unit.InputGradient))
            .With(ActionKind.WeightGradient, Times(unit => unit.WeightGradient))
            .With(ActionKind.Recompute, Times(unit => recompute is RecomputePolicy.Selective ? unit.SelectiveRecompute : unit.Forward))
            .With(ActionKind.Optimizer, [.. partition.Select(range => Sum(range, unit => unit.Optimizer))]);
        return new StageProfile(
            costs,
            [.. partition.Select(range => new StageMemory(
                Bytes(range, unit => unit.StateBytes), Bytes(range, unit => unit.KeptBytes), KeptAfterForward(range), Bytes(range, unit => unit.DeferredBytes)))],
            [.. partition.Select(range => units[range.End - 1].OutputBytes)],
            [.. partition.Select(range => Bytes(range, unit => unit.GradientBytes))]);

        ImmutableArray<double> Times(Func<UnitProfile, double> time) => [.. partition.Select(range => Sum(range, time) + actionOverhead)];

        double Sum(UnitRange range, Func<UnitProfile, double> time)
        {
            var sum = 0.0;
            for (var unit = range.Start; unit < range.End; unit++)
                sum += time(units[unit]);
            return sum;
        }

        long Bytes(UnitRange range, Func<UnitProfile, long> bytes)
        {
            var sum = 0L;
            for (var unit = range.Start; unit < range.End; unit++)
                sum += bytes(units[unit]);
            return sum;
        }

        // A stage whose units recompute wholly keeps the input of its first one: the others are made again on the way.
        long KeptAfterForward(UnitRange range) => recompute is RecomputePolicy.Selective
            ? Bytes(range, unit => unit.SelectiveKeptBytes ?? unit.KeptBytes)
            : range.Start == 0 ? 0 : units[range.Start - 1].OutputBytes;
    }
}
