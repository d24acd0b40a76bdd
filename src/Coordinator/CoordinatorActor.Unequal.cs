using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>
/// Elasticity of replicas with stages of their own: one that has lost ranks which find no room is given up whole, the others keep their stages and share its micro-batches, and it comes
/// back as it was once there is room for it.
/// </summary>
public sealed partial class CoordinatorActor
{
    private IReadOnlyList<int> RankCounts => [.. _ranks.Mesh.Replicas.Select(replica => replica.RankCount)];

    /// <summary>The layout for as many of the replicas as there is room for, at least one; null where all stay.</summary>
    private UnitDivision? WithFewerOf(ElasticReplicas elastic)
    {
        var (present, room) = (RankCounts, _nodes.Alive.Sum(SeatsOf));
        var isLeft = AreLeft(_ranks.Places.Take(_ranks.ReplicaRankCount));
        if (Needed(present) <= room && (isLeft.All(isThere => isThere) || HasRoom(_ranks.Division, present.Count))) return null;
        for (var count = present.Count - 1; count > 0; count--)
        {
            IReadOnlyList<int> staying = [.. Elasticity.Staying(present, isLeft, count).Select(replica => present[replica])];
            // One goes on however crowded.
            if (count > 1 && Needed(staying) > room) continue;
            if (Among(elastic, staying) is { } division) return division;
        }

        return null;
    }

    /// <summary>The layout with those that the run began with and has not now, as many as there is room for; null for none.</summary>
    private UnitDivision? WithMoreOf(ElasticReplicas elastic, IReadOnlyList<int> began)
    {
        var (present, room) = (RankCounts, _nodes.Alive.Sum(SeatsOf));
        List<int> wanted = [.. present];
        foreach (var count in Elasticity.Missing(began, present))
        {
            if (Needed([.. wanted, count]) <= room) wanted.Add(count);
        }

        for (; wanted.Count > present.Count; wanted.RemoveAt(wanted.Count - 1))
        {
            if (Among(elastic, wanted) is { } division) return division;
        }

        return null;
    }

    private UnitDivision? Among(ElasticReplicas elastic, IReadOnlyList<int> rankCounts) =>
        elastic.DivideAmong?.Invoke(rankCounts) is { } division && HasRoom(division, rankCounts.Count) ? division with { ReplicaCount = rankCounts.Count } : null;

    /// <summary>Ranks of such replicas, and of those that add up beside them.</summary>
    private int Needed(IReadOnlyList<int> rankCounts) => rankCounts.Sum() + (_run.HasReducers && rankCounts.Count > 1 ? rankCounts[0] : 0);

    /// <summary>Ranks count anew; those of replicas that stay keep their nodes under their new numbers, with new actors.</summary>
    private void ResizeAmong(ReplicaMesh formerMesh, IReadOnlyList<RankPlace> former)
    {
        var counts = RankCounts;
        var isLeft = AreLeft(former);
        var heirs = Elasticity.Heirs([.. formerMesh.Replicas.Select(replica => replica.RankCount)], isLeft, counts);
        Renumber(heirs.Zip(counts).SelectMany(heir => heir.First < 0
            ? Enumerable.Repeat(Nowhere, heir.Second)
            : formerMesh.RanksOf(heir.First).Select(rank => isLeft[rank] ? former[rank] with { StagePath = "" } : Nowhere)));
    }
}
