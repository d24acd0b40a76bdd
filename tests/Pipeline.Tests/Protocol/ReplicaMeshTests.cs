using CsCheck;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Protocol;

public sealed class ReplicaMeshTests
{
    private const int UnitCount = 7;

    private static readonly Gen<(int[] Stages, bool HasReducers)> Shapes = Gen.Select(Gen.Int[1, UnitCount].Array[1, 5], Gen.Bool);

    [Fact]
    public void Every_rank_has_one_place_in_one_replica_and_is_found_again_by_its_units()
    {
        Shapes.Sample(shape =>
        {
            var mesh = Mesh(shape.Stages, shape.HasReducers);
            Assert.Equal(shape.Stages.Sum(), mesh.ReplicaRankCount);
            Assert.Equal(shape.HasReducers && shape.Stages.Length > 1 ? shape.Stages[0] : 0, mesh.ReducerCount);
            var seen = Enumerable.Range(0, mesh.RankCount).Select(rank => (Replica: mesh.ReplicaOf(rank), Place: mesh.PlaceOf(rank))).ToArray();
            Assert.Equal(mesh.RankCount, seen.Distinct().Count());
            for (var rank = 0; rank < mesh.RankCount; rank++)
            {
                var replica = seen[rank].Replica;
                Assert.InRange(seen[rank].Place, 0, mesh.StagesOf(rank).RankCount - 1);
                Assert.Equal(rank >= mesh.ReplicaRankCount, replica == mesh.ReplicaCount);
                foreach (var unit in mesh.StagesOf(rank).UnitsOfRank(mesh.PlaceOf(rank)))
                    Assert.Equal(rank, mesh.RankOfUnit(replica == mesh.ReplicaCount ? ReplicaMesh.Reducers : replica, unit));
                if (replica < mesh.ReplicaCount) Assert.Contains(rank, mesh.RanksOf(replica));
            }

            for (var replica = 0; replica < mesh.ReplicaCount; replica++)
                Assert.Equal(UnitCount, mesh.RanksOf(replica).Sum(mesh.UnitCountOf));
        });
    }

    [Fact]
    public void Contributors_are_the_stages_of_all_replicas_in_their_order()
    {
        Shapes.Sample(shape =>
        {
            var mesh = Mesh(shape.Stages, shape.HasReducers);
            var expected = shape.Stages.SelectMany((count, replica) => Enumerable.Range(0, count).Select(stage => (replica, stage))).ToArray();
            Assert.Equal(expected, Enumerable.Range(0, mesh.ContributorCount).Select(mesh.ContributorAt));
            Assert.Equal(Enumerable.Range(0, expected.Length), expected.Select(one => mesh.ContributorOf(one.replica, one.stage)));
        });
    }

    [Fact]
    public void What_lies_between_two_cuts_lies_on_one_rank_of_each_replica_and_no_cut_is_needless()
    {
        Shapes.Sample(shape =>
        {
            var mesh = Mesh(shape.Stages, shape.HasReducers);
            Assert.Equal(UnitCount, mesh.CommonUnitCounts.Sum());
            Assert.All(mesh.CommonUnitCounts, count => Assert.True(count > 0));
            for (var unit = 1; unit < UnitCount; unit++)
            {
                var isCut = Enumerable.Range(0, mesh.ReplicaCount).Any(replica => mesh.RankOfUnit(replica, unit) != mesh.RankOfUnit(replica, unit - 1));
                Assert.Equal(isCut, mesh.Cuts.Contains(unit));
            }

            if (mesh.IsEven) Assert.Equal(mesh.First.UnitCounts, mesh.CommonUnitCounts);
        });
    }

    [Fact]
    public void Ranks_that_are_alike_hold_the_same_units_and_one_of_each_group_holds_all()
    {
        Shapes.Sample(shape =>
        {
            var mesh = Mesh(shape.Stages, shape.HasReducers);
            Assert.Equal(Enumerable.Range(0, mesh.ReplicaRankCount), mesh.Alike.SelectMany(group => group).Order());
            foreach (var group in mesh.Alike) Assert.Single(group.Select(UnitsOf).Distinct());
            Assert.Equal(Enumerable.Range(0, UnitCount), mesh.Alike.SelectMany(group => mesh.StagesOf(group[0]).UnitsOfRank(mesh.PlaceOf(group[0]))).Distinct().Order());
            if (mesh.IsEven) Assert.Equal(mesh.First.RankCount, mesh.Alike.Count);

            string UnitsOf(int rank) => string.Join(',', mesh.StagesOf(rank).UnitsOfRank(mesh.PlaceOf(rank)));
        });
    }

    [Fact]
    public void A_layouts_replicas_are_found_by_the_number_of_its_ranks_or_of_its_replicas()
    {
        Shapes.Sample(shape =>
        {
            var mesh = Mesh(shape.Stages, shape.HasReducers);
            OtherReplicas[] others = [.. shape.Stages.Index().Skip(1).Where(replica => replica.Item != shape.Stages[replica.Index - 1])
                .Select(replica => new OtherReplicas(replica.Index, Cut(replica.Item), Text(replica.Item)))];
            var (counts, text) = (Cut(shape.Stages[0]), Text(shape.Stages[0]));
            foreach (var found in new[]
            {
                ReplicaMesh.OfRanks(counts, text, others, mesh.ReplicaRankCount, shape.HasReducers), ReplicaMesh.OfReplicas(counts, text, others, shape.Stages.Length, shape.HasReducers),
            })
            {
                Assert.Equal(mesh.Replicas.Select(replica => replica.UnitCounts), found.Replicas.Select(replica => replica.UnitCounts));
                Assert.Equal((mesh.RankCount, mesh.ReducerCount), (found.RankCount, found.ReducerCount));
                Assert.Null(found.Fault());
            }
        });
    }

    [Fact]
    public void Replicas_that_are_not_there_or_do_not_go_together_are_named()
    {
        OtherReplicas other = new(2, Cut(1), Text(1));
        Assert.Contains("replica 2 of 2", Assert.Throws<ScheduleException>(() => ReplicaMesh.OfReplicas(Cut(2), Text(2), [other], 2, false)).Message, StringComparison.Ordinal);
        Assert.Throws<ScheduleException>(() => ReplicaMesh.OfReplicas(Cut(2), Text(2), [other, other with { FirstReplica = 1 }], 3, false));
        Assert.Throws<ScheduleException>(() => ReplicaMesh.OfReplicas(Cut(2), Text(2), [other with { FirstReplica = 0 }], 3, false));
        Assert.Contains("Replica 2 has 6 units", ReplicaMesh.OfReplicas(Cut(2), Text(2), [other with { UnitCounts = [6] }], 3, false).Fault(), StringComparison.Ordinal);
        Assert.Contains("a schedule of 1 micro-batches: expected 2 of the step's 5", ReplicaMesh.OfReplicas(Cut(2), Text(2), [new(1, Cut(1), Text(1, 1)), new(2, Cut(1), Text(1, 2))], 3, false).Fault(), StringComparison.Ordinal);
    }

    private static ReplicaMesh Mesh(int[] stages, bool hasReducers) =>
        new([.. stages.Select(count => new ReplicaStages(Cut(count), ScheduleCatalog.Generate("gpipe", count, 2)))], hasReducers);

    /// <summary>The first stages have one unit more.</summary>
    private static IReadOnlyList<int> Cut(int stages) => [.. Enumerable.Range(0, stages).Select(stage => UnitCount / stages + (stage < UnitCount % stages ? 1 : 0))];

    private static string Text(int ranks, int microBatchCount = 2) => ScheduleText.Format(ScheduleCatalog.Generate("gpipe", ranks, microBatchCount));
}
