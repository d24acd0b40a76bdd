using CsCheck;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class NodePartitionerTests
{
    private static readonly Gen<UnitDemand[]> s_units = Gen.Select(Gen.Double[0, 5], Gen.Long[0, 40], Gen.Long[0, 10])
        .Select((cost, state, kept) => new UnitDemand(cost, state, kept)).Array[2, 14];

    // Units that drop activations: what rests of each, and what the first of a stage keeps besides, which is sometimes nothing and sometimes more than the rest.
    private static readonly Gen<UnitDemand[]> s_droppers = Gen.Select(Gen.Double[0, 5], Gen.Long[0, 40], Gen.Long[0, 20], Gen.Long[0, 5], Gen.Long[0, 12])
        .Select((cost, state, kept, rest, entry) => new UnitDemand(cost, state, kept) { RestBytes = Math.Min(rest, kept), EntryBytes = entry }).Array[2, 14];

    // Few kinds, so that classes have several members, or each its own; memories that sometimes bind and sometimes forbid.
    private static readonly Gen<NodeCapacity> s_node = Gen.OneOf(
        Gen.Select(Gen.Int[0, 3], Gen.Int[0, 2]).Select((speed, memory) => new NodeCapacity(new[] { 0.5, 1, 2, 3.5 }[speed], new[] { 60L, 120, 100_000 }[memory])),
        Gen.Select(Gen.Double[0.2, 5], Gen.Long[30, 500]).Select((speed, memory) => new NodeCapacity(speed, memory)));

    // Of some nodes each unit was measured by itself, so that none is faster by the same factor with all of them.
    private static readonly Gen<double[]> s_measured = Gen.Double[0, 5].Array[14];

    [Fact]
    public void It_is_as_good_as_trying_everything_for_units_costs_memories_and_speeds_at_random_measured_or_not() =>
        Gen.Select(Gen.OneOf(s_units, s_droppers), s_node.Array[1, 4], Gen.Int[0, 3].Array[4], s_measured.Array[2], Gen.Int[0, 3].Array[4]).Sample((units, nodes, held, measured, which) =>
        {
            double[][] own = [.. measured.Select(costs => costs[..units.Length])];
            nodes = [.. nodes.Take(units.Length).Select((node, index) => which[index] < 2 ? node with { UnitCosts = own[which[index]] } : node)];
            var inFlight = nodes.Select((_, stage) => held[stage]).ToArray();
            var found = NodePartitioner.Partition(units, nodes, inFlight);
            var best = BruteForce(units, nodes, inFlight);
            Assert.Equal(double.IsPositiveInfinity(best), found is null);
            if (found is null)
                return;
            Assert.True(found.IsExact);
            Assert.Equal(best, found.Bottleneck, 1e-9);
            Assert.Equal(found.Bottleneck, Enumerable.Range(0, nodes.Length).Max(stage => Time(units, nodes, found, stage)), 1e-9);
            for (var stage = 0; stage < nodes.Length; stage++)
                Assert.True(Fits(units, found.Stages[stage].Start, found.Stages[stage].End, nodes[found.NodeOfStage[stage]], inFlight[stage]));
            Assert.Equal(Enumerable.Range(0, nodes.Length), found.NodeOfStage.Order());
            Assert.Equal(units.Length, found.Stages[^1].End);
            Assert.True(found.Stages.Zip(found.Stages.Skip(1)).All(pair => pair.First.End == pair.Second.Start) && found.Stages.All(range => range.Count > 0));
        }, iter: 3_000);

    [Fact]
    public void With_more_than_ten_kinds_of_nodes_it_says_that_it_is_a_heuristic_and_is_no_worse_than_the_order_given()
    {
        var nodes = Enumerable.Range(0, 11).Select(index => new NodeCapacity(1 + (index * 0.1), 1_000)).ToArray();
        var units = Enumerable.Range(0, 24).Select(index => new UnitDemand(1 + (index % 3), 1, 1)).ToArray();
        var inFlight = Enumerable.Repeat(1, 11).ToArray();
        var found = NodePartitioner.Partition(units, nodes, inFlight)!;
        Assert.Equal(PartitionMethod.ManyKinds, found.Method);
        Assert.Equal(Enumerable.Range(0, 11), found.NodeOfStage.Order());
        Assert.True(found.Bottleneck <= new OrderedSearch(units, nodes, inFlight).Find()!.Value.Bottleneck);
        Assert.Equal(found.Bottleneck, Enumerable.Range(0, 11).Max(stage => Time(units, nodes, found, stage)), 1e-9);
    }

    [Fact]
    public void With_few_kinds_but_too_many_ways_to_use_them_it_says_just_that()
    {
        // 3^10 ways to use some of each kind, times 81 places to cut.
        var nodes = Enumerable.Range(0, 20).Select(index => new NodeCapacity(1 + (index / 2 * 0.1), 1_000)).ToArray();
        var units = Enumerable.Range(0, 80).Select(index => new UnitDemand(1 + (index % 3), 1, 1)).ToArray();
        var found = NodePartitioner.Partition(units, nodes, [.. Enumerable.Repeat(1, 20)])!;
        Assert.Equal(PartitionMethod.ManyCombinations, found.Method);
        Assert.DoesNotContain("more than", found.Method.Reservation()!, StringComparison.Ordinal);
    }

    [Fact]
    public void Sizes_that_cannot_be_are_refused()
    {
        Assert.Throws<ScheduleException>(() => NodePartitioner.Partition([new UnitDemand(1, 0, 0)], [new(1, 1), new(1, 1)], [1, 1]));
        Assert.Throws<ScheduleException>(() => NodePartitioner.Partition([new UnitDemand(1, 0, 0)], [new(0, 1)], [1]));
        Assert.Null(NodePartitioner.Partition([new UnitDemand(1, 5, 0)], [new(1, 4)], [1]));
    }

    [Fact]
    public void Costs_of_a_node_that_are_not_of_this_model_are_refused()
    {
        UnitDemand[] units = [new(1, 0, 0), new(1, 0, 0)];
        Assert.Contains("measured with 3 units", Assert.Throws<ScheduleException>(() => NodePartitioner.Partition(units, [new NodeCapacity(1, 9) { UnitCosts = [1, 1, 1] }], [1])).Message, StringComparison.Ordinal);
        Assert.Throws<ScheduleException>(() => NodePartitioner.InOrder(units, [new NodeCapacity(1, 9) { UnitCosts = [1, double.NaN] }], [1]));
    }

    private static double Time(UnitDemand[] units, NodeCapacity[] nodes, NodePartition found, int stage) =>
        Time(units, found.Stages[stage].Start, found.Stages[stage].End, nodes[found.NodeOfStage[stage]]);

    private static double Time(UnitDemand[] units, int start, int end, NodeCapacity node) =>
        node.UnitCosts is { } own ? own.Skip(start).Take(end - start).Sum() : units[start..end].Sum(unit => unit.Cost) / node.Speed;

    private static bool Fits(UnitDemand[] units, int start, int end, NodeCapacity node, int inFlight) =>
        units[start..end].Sum(unit => unit.StateBytes) + Activations(units[start..end], inFlight) <= node.MemoryBytes;

    // Micro-batch by micro-batch: all of them rest but the one that is run or made again.
    private static long Activations(UnitDemand[] stage, int inFlight)
    {
        var resting = stage[0].EntryBytes + stage.Sum(unit => unit.RestBytes ?? unit.KeptBytes);
        return Enumerable.Range(0, inFlight).Sum(microBatch => microBatch == 0 ? Math.Max(resting, stage.Sum(unit => unit.KeptBytes)) : resting);
    }

    // Every order of nodes with every cut.
    private static double BruteForce(UnitDemand[] units, NodeCapacity[] nodes, int[] inFlight)
    {
        return From(0, 0, Enumerable.Range(0, nodes.Length).ToHashSet());

        double From(int stage, int start, HashSet<int> left)
        {
            if (left.Count == 0)
                return start == units.Length ? 0 : double.PositiveInfinity;
            var best = double.PositiveInfinity;
            foreach (var node in left.ToArray())
                for (var end = start + 1; end <= units.Length; end++)
                    if (Fits(units, start, end, nodes[node], inFlight[stage]))
                    {
                        left.Remove(node);
                        best = Math.Min(best, Math.Max(Time(units, start, end, nodes[node]), From(stage + 1, end, left)));
                        left.Add(node);
                    }

            return best;
        }
    }
}
