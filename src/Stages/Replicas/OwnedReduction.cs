using Pipeline.Model.Units;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Stages;

/// <summary>How a bucket's gradients are added up where each replica is to have the sums of its own share only, since weights go back instead. Pure.</summary>
internal static class OwnedReduction
{
    /// <summary>Neighbours in a bucket whose sums belong to one replica, as shards.</summary>
    /// <param name="units">The bucket's units, in its order.</param>
    /// <param name="owners">Who owns which parameter.</param>
    internal static IReadOnlyList<Shard> ShardsOf(IReadOnlyList<Unit> units, OptimizerOwners owners)
    {
        List<Shard> shards = [];
        var unitStart = 0L;
        foreach (var unit in units)
        {
            var unitEnd = unitStart + GradientPlaces.LengthOf(unit);
            var places = GradientPlaces.Of(unit).OrderBy(place => place.Offset).ToArray();
            for (var index = 0; index < places.Length; index++)
            {
                var end = index + 1 < places.Length ? unitStart + places[index + 1].Offset : unitEnd;
                var owner = new Participant(owners[unit.FullName(places[index].Parameter)]);
                var start = shards.Count == 0 ? 0 : shards[^1].Start + shards[^1].Length;
                if (shards.Count > 0 && shards[^1].Owner == owner) shards[^1] = shards[^1] with { Length = (int)end - shards[^1].Start };
                else shards.Add(new Shard(shards.Count, start, (int)end - start, owner));
            }

            unitStart = unitEnd;
        }

        return shards;
    }

    /// <summary>Of what goes back nothing is a sum: how that is compressed is <see cref="WeightExchange"/>'s.</summary>
    internal static ReductionSettings Settings(ReductionSettings settings) => settings with { Answers = CompressionSettings.None };

    /// <summary>Who sends what to whom: to the owners, by way of the first of each group, or of the reducer.</summary>
    internal static ReductionPlan Plan(int length, ReplicaPlace place, IReadOnlyList<Shard> shards, ReductionSettings settings)
    {
        var pieces = Shard.InPieces(shards, settings.LongestPiece);
        return settings.Topology switch
        {
            ReductionTopology.Coordinator => ReductionPlans.ScatterBeside(length, place.Tree, place.Leaves, pieces),
            ReductionTopology.Hierarchical => ReductionPlans.Scatter(length, place.Tree, place.Leaves, pieces, settings.GroupsOf(place.Count, place.Machines)),
            _ => ReductionPlans.Scatter(length, place.Tree, place.Leaves, pieces),
        };
    }
}
