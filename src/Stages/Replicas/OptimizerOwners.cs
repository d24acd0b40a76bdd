using Pipeline.Model.Units;

namespace Pipeline.Stages;

/// <summary>
/// Which replica holds the optimizer state of which parameter (ZeRO stage 1, Rajbhandari et al. 2020, with whole parameters as shards, so that
/// norms, digests and checkpoints know tensors and not pieces of them). The same on every rank. A value.
/// </summary>
internal sealed class OptimizerOwners
{
    private readonly Dictionary<string, int> _owners = new(StringComparer.Ordinal);

    /// <summary>
    /// Shares the parameters out between one cut and the next: the largest first, each to the replica with the least so far. Both uses of a tied parameter
    /// go to one replica, which adds them up.
    /// </summary>
    /// <param name="units">All units of the model.</param>
    /// <param name="unitCounts">Units of what is shared out as evenly as can be, such as <see cref="Protocol.ReplicaMesh.CommonUnitCounts"/>.</param>
    /// <param name="replicaCount">Replicas.</param>
    internal OptimizerOwners(IReadOnlyList<Unit> units, IReadOnlyList<int> unitCounts, int replicaCount)
    {
        int[] stageOfUnit = [.. unitCounts.SelectMany((count, stage) => Enumerable.Repeat(stage, count))];
        var loads = unitCounts.Select(_ => new long[replicaCount]).ToArray();
        var uses = units.SelectMany((unit, index) => unit.Parameters.Select(spec => (Name: unit.FullName(spec), Group: spec.TiedTo ?? unit.FullName(spec), spec.ElementCount, Stage: stageOfUnit[index])));
        var groups = uses.GroupBy(use => use.Group, StringComparer.Ordinal)
            .OrderByDescending(group => group.Count()).ThenByDescending(group => group.Sum(use => use.ElementCount)).ThenBy(group => group.Key, StringComparer.Ordinal);
        foreach (var group in groups)
        {
            var replica = Enumerable.Range(0, replicaCount).MinBy(candidate => group.Sum(use => loads[use.Stage][candidate]));
            foreach (var use in group)
            {
                _owners.Add(use.Name, replica);
                loads[use.Stage][replica] += use.ElementCount;
            }
        }
    }

    /// <summary>The replica that owns a parameter, by its full name.</summary>
    internal int this[string parameter] => _owners[parameter];
}
