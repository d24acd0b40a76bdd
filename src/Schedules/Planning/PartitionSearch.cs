using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>Nodes grouped by what tells them apart.</summary>
internal sealed record NodeClasses(ImmutableArray<NodeCapacity> Kinds, ImmutableArray<ImmutableArray<int>> Members)
{
    public int Count => Kinds.Length;

    /// <summary>In how many ways some nodes of each class can be used.</summary>
    public double CombinationCount => Members.Aggregate(1.0, (product, members) => product * (members.Length + 1));

    public static NodeClasses Of(IReadOnlyList<NodeCapacity> nodes)
    {
        var groups = Enumerable.Range(0, nodes.Count).GroupBy(index => nodes[index]).ToArray();
        return new NodeClasses([.. groups.Select(group => group.Key)], [.. groups.Select(group => group.ToImmutableArray())]);
    }
}

/// <summary>Costs and memories of ranges of units in constant time.</summary>
internal sealed class RangeDemands
{
    private readonly double[] _costs;
    private readonly Dictionary<IReadOnlyList<double>, double[]> _measured = new(ReferenceEqualityComparer.Instance);
    private readonly long[] _states;
    private readonly long[] _kept;
    private readonly long[] _rest;
    private readonly long[] _entries;

    public RangeDemands(IReadOnlyList<UnitDemand> units)
    {
        Count = units.Count;
        (_costs, _states, _kept, _rest) = (new double[Count + 1], new long[Count + 1], new long[Count + 1], new long[Count + 1]);
        _entries = [.. units.Select(unit => unit.EntryBytes)];
        for (var unit = 0; unit < Count; unit++)
        {
            _costs[unit + 1] = _costs[unit] + units[unit].Cost;
            _states[unit + 1] = _states[unit] + units[unit].StateBytes;
            _kept[unit + 1] = _kept[unit] + units[unit].KeptBytes;
            _rest[unit + 1] = _rest[unit] + (units[unit].RestBytes ?? units[unit].KeptBytes);
        }
    }

    public int Count { get; }

    public double Time(int start, int end, NodeCapacity node) =>
        node.UnitCosts is { } own && SumsOf(own) is var sums ? sums[end] - sums[start] : (_costs[end] - _costs[start]) / node.Speed;

    public bool Fits(int start, int end, NodeCapacity node, int inFlight) => Bytes(start, end, inFlight, _entries[start]) <= node.MemoryBytes;

    /// <summary>Whether a stage that begins earlier may fit: what it is made again from may be less there.</summary>
    public bool MayFitLonger(int start, int end, NodeCapacity node, int inFlight) => _entries[start] > 0 && Bytes(start, end, inFlight, 0) <= node.MemoryBytes;

    private double[] SumsOf(IReadOnlyList<double> costs)
    {
        if (_measured.TryGetValue(costs, out var known)) return known;
        var sums = new double[Count + 1];
        for (var unit = 0; unit < Count; unit++) sums[unit + 1] = sums[unit] + costs[unit];
        return _measured[costs] = sums;
    }

    // One micro-batch is there whole while it runs forward, or is made again: of the others, what rests.
    private long Bytes(int start, int end, int inFlight, long entry)
    {
        var rest = _rest[end] - _rest[start] + entry;
        var activations = inFlight == 0 ? 0 : ((inFlight - 1) * rest) + Math.Max(rest, _kept[end] - _kept[start]);
        return _states[end] - _states[start] + activations;
    }
}

/// <summary>The exact search: best[used][units] is the least bottleneck of the first units on the used nodes, whichever order these have.</summary>
internal sealed class ClassSearch
{
    private readonly RangeDemands _units;
    private readonly NodeClasses _classes;
    private readonly IReadOnlyList<int> _inFlight;
    private readonly int[] _strides;
    private readonly int _combinationCount;

    public ClassSearch(IReadOnlyList<UnitDemand> units, NodeClasses classes, IReadOnlyList<int> inFlight)
    {
        _units = new RangeDemands(units);
        _classes = classes;
        _inFlight = inFlight;
        _strides = new int[classes.Count];
        _combinationCount = 1;
        for (var index = 0; index < classes.Count; index++)
        {
            _strides[index] = _combinationCount;
            _combinationCount *= classes.Members[index].Length + 1;
        }
    }

    public NodePartition? Find()
    {
        var (best, choice) = Search();
        var bottleneck = best[_combinationCount - 1][_units.Count];
        return double.IsPositiveInfinity(bottleneck) ? null : Recover(choice, bottleneck);
    }

    private (double[][] Best, (int Class, int Start)[][] Choice) Search()
    {
        var best = new double[_combinationCount][];
        var choice = new (int, int)[_combinationCount][];
        for (var used = 0; used < _combinationCount; used++)
        {
            best[used] = new double[_units.Count + 1];
            choice[used] = new (int, int)[_units.Count + 1];
            Array.Fill(best[used], double.PositiveInfinity);
            if (used == 0)
                best[0][0] = 0;
            else
                Extend(best, choice, used);
        }

        return (best, choice);
    }

    // The last of the used nodes is one of each class in turn; the stage on it ends at each unit in turn.
    private void Extend(double[][] best, (int Class, int Start)[][] choice, int used)
    {
        var stage = UsedCount(used) - 1;
        for (var index = 0; index < _classes.Count; index++)
        {
            if (UsedOf(used, index) == 0)
                continue;
            var before = best[used - _strides[index]];
            for (var end = stage + 1; end <= _units.Count; end++)
                for (var start = end - 1; start >= stage; start--)
                {
                    var time = _units.Time(start, end, _classes.Kinds[index]);
                    // Longer stages only cost more: no need to look further.
                    if (time >= best[used][end])
                        break;
                    if (!_units.Fits(start, end, _classes.Kinds[index], _inFlight[stage]))
                    {
                        if (_units.MayFitLonger(start, end, _classes.Kinds[index], _inFlight[stage]))
                            continue;
                        break;
                    }

                    var bottleneck = Math.Max(before[start], time);
                    if (bottleneck < best[used][end])
                        (best[used][end], choice[used][end]) = (bottleneck, (index, start));
                }
        }
    }

    private NodePartition Recover((int Class, int Start)[][] choice, double bottleneck)
    {
        var (used, end) = (_combinationCount - 1, _units.Count);
        var (stages, kinds) = (new List<UnitRange>(), new List<int>());
        while (used > 0)
        {
            var (index, start) = choice[used][end];
            stages.Insert(0, new UnitRange(start, end - start));
            kinds.Insert(0, index);
            (used, end) = (used - _strides[index], start);
        }

        var next = new int[_classes.Count];
        return new NodePartition([.. stages], [.. kinds.Select(kind => _classes.Members[kind][next[kind]++])], bottleneck, PartitionMethod.Exact);
    }

    private int UsedOf(int used, int index) => used / _strides[index] % (_classes.Members[index].Length + 1);

    private int UsedCount(int used) => Enumerable.Range(0, _classes.Count).Sum(index => UsedOf(used, index));
}

/// <summary>The same search where each stage's node is given.</summary>
internal sealed class OrderedSearch(IReadOnlyList<UnitDemand> units, IReadOnlyList<NodeCapacity> nodes, IReadOnlyList<int> inFlight)
{
    private readonly RangeDemands _units = new(units);

    public (ImmutableArray<UnitRange> Stages, double Bottleneck)? Find()
    {
        var best = new double[_units.Count + 1];
        Array.Fill(best, double.PositiveInfinity);
        best[0] = 0;
        var starts = new int[nodes.Count][];
        for (var stage = 0; stage < nodes.Count; stage++)
        {
            starts[stage] = new int[_units.Count + 1];
            var next = new double[_units.Count + 1];
            Array.Fill(next, double.PositiveInfinity);
            for (var end = stage + 1; end <= _units.Count; end++)
                for (var start = end - 1; start >= stage; start--)
                {
                    var time = _units.Time(start, end, nodes[stage]);
                    if (time >= next[end])
                        break;
                    if (!_units.Fits(start, end, nodes[stage], inFlight[stage]))
                    {
                        if (_units.MayFitLonger(start, end, nodes[stage], inFlight[stage]))
                            continue;
                        break;
                    }

                    if (Math.Max(best[start], time) is var bottleneck && bottleneck < next[end])
                        (next[end], starts[stage][end]) = (bottleneck, start);
                }

            best = next;
        }

        if (double.IsPositiveInfinity(best[_units.Count]))
            return null;
        var stages = new UnitRange[nodes.Count];
        for (int stage = nodes.Count - 1, end = _units.Count; stage >= 0; end = starts[stage--][end])
            stages[stage] = new UnitRange(starts[stage][end], end - starts[stage][end]);
        return ([.. stages], best[_units.Count]);
    }
}
