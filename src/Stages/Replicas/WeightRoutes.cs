using Pipeline.Reduction;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Stages;

/// <summary>
/// Who sends weights that their owner has updated to whom: the owner to its own group of replicas and to the first one of each other group, and that one to the rest of its group, so
/// that they travel between two groups once. A value.
/// </summary>
/// <param name="groups">Replicas by group, each once.</param>
internal sealed class WeightRoutes(IReadOnlyList<IReadOnlyList<int>> groups)
{
    /// <summary>Those of a run: groups where its gradients are added up in groups, otherwise each replica by itself.</summary>
    internal static WeightRoutes Of(ReductionSettings settings, ReplicaPlace place) => new(settings.Topology == ReductionTopology.Hierarchical
        ? settings.GroupsOf(place.Count, place.Machines)
        : [.. Enumerable.Range(0, place.Count).Select(replica => new[] { replica })]);

    /// <summary>To which replicas one sends what another one, or it itself, has updated.</summary>
    internal IReadOnlyList<int> Targets(int self, int owner)
    {
        var own = groups.First(group => group.Contains(self));
        if (self == owner) return [.. own.Where(replica => replica != self), .. groups.Where(group => group != own).Select(group => group[0])];
        return self == own[0] && !own.Contains(owner) ? [.. own.Skip(1)] : [];
    }
}
