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
    /// <param name="recompute">What a schedule's R makes again; everything where that is null or none, since the schedule brings its R along then.</param>
    public static StageProfile Of(
        ImmutableArray<UnitProfile> units, ImmutableArray<UnitRange> partition, double actionOverhead = 0, double hopLatency = 0, UnitRecompute? recompute = null)
    {
        var policies = recompute is null or { IsNone: true, UnitCount: null } ? UnitRecompute.All(RecomputePolicy.Full) : recompute;
        var costs = ActionCosts.PerStage(Times(unit => unit.Forward), Times(unit => unit.Backward), hopLatency)
            .With(ActionKind.InputGradient, Times(unit => unit.InputGradient))
            .With(ActionKind.WeightGradient, Times(unit => unit.WeightGradient))
            .With(ActionKind.Recompute, [.. partition.Select(range => actionOverhead + Units(range).Sum(unit => units[unit].RecomputeUnder(policies[unit])))])
            .With(ActionKind.Optimizer, [.. partition.Select(range => Sum(range, unit => unit.Optimizer))]);
        return new StageProfile(
            costs,
            [.. partition.Select(range => new StageMemory(
                Bytes(range, unit => unit.StateBytes), Bytes(range, unit => unit.KeptBytes), KeptAfterForward(range), Bytes(range, unit => unit.DeferredBytes)))],
            [.. partition.Select(range => units[range.End - 1].OutputBytes)],
            [.. partition.Select(range => Bytes(range, unit => unit.GradientBytes))]);

        ImmutableArray<double> Times(Func<UnitProfile, double> time) => [.. partition.Select(range => Sum(range, time) + actionOverhead)];

        IEnumerable<int> Units(UnitRange range) => Enumerable.Range(range.Start, range.Count);

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

        // Of units that follow one another and recompute wholly the input of the first is kept: the others' are made again on the way.
        long KeptAfterForward(UnitRange range) => Units(range).Sum(unit => policies[unit] switch
        {
            RecomputePolicy.Selective => units[unit].SelectiveKeptBytes ?? units[unit].KeptBytes,
            RecomputePolicy.Full => unit == 0 || (unit > range.Start && policies[unit - 1] is RecomputePolicy.Full) ? 0 : units[unit - 1].OutputBytes,
            _ => units[unit].KeptBytes,
        });
    }
}
