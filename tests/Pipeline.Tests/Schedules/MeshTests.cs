using CsCheck;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class MeshTests
{
    private static readonly Gen<Mesh> AnyMesh = Gen.Select(Gen.Shuffle(Enum.GetValues<MeshAxis>()), Gen.Int[1, 4].Array[5], Gen.Int[0, 5])
        .Select((axes, sizes, count) => new Mesh([.. axes.Zip(sizes).Take(count)]));

    [Fact]
    public void Rank_and_coordinates_are_inverse() =>
        AnyMesh.Sample(mesh =>
        {
            for (var rank = 0; rank < mesh.RankCount; rank++)
                Assert.Equal(rank, mesh.RankOf(mesh.CoordinatesOf(rank).AsSpan()));
        }, iter: 50);

    [Fact]
    public void The_groups_of_an_axis_divide_the_ranks_and_differ_along_it_only() =>
        Gen.Select(AnyMesh, Gen.Enum<MeshAxis>()).Sample((mesh, axis) =>
        {
            for (var rank = 0; rank < mesh.RankCount; rank++)
            {
                var group = mesh.GroupOf(rank, axis);
                Assert.Equal(mesh.SizeOf(axis), group.Length);
                Assert.Equal(rank, group[mesh.CoordinateOf(rank, axis)]);
                foreach (var other in group)
                    foreach (var another in Enum.GetValues<MeshAxis>())
                        Assert.True(another == axis || mesh.CoordinateOf(other, another) == mesh.CoordinateOf(rank, another));
            }
        }, iter: 50);

    [Fact]
    public void The_last_axis_varies_fastest()
    {
        var mesh = new Mesh((MeshAxis.Data, 2), (MeshAxis.Pipeline, 4));
        Assert.Equal(8, mesh.RankCount);
        Assert.Equal<int>([1, 2], mesh.CoordinatesOf(6));
        Assert.Equal(6, mesh.RankOf(1, 2));
        Assert.Equal<int>([4, 5, 6, 7], mesh.GroupOf(6, MeshAxis.Pipeline));
        Assert.Equal<int>([2, 6], mesh.GroupOf(6, MeshAxis.Data));
        Assert.Equal<int>([6], mesh.GroupOf(6, MeshAxis.Tensor));
        Assert.Equal("data 2 × pipeline 4", mesh.ToString());
    }

    [Fact]
    public void Sizes_below_one_and_repeated_axes_are_refused()
    {
        Assert.Contains("pipeline.parallelism.data", Assert.Throws<ScheduleException>(() => new Mesh((MeshAxis.Data, 0))).Message, StringComparison.Ordinal);
        Assert.Contains("two pipeline axes", Assert.Throws<ScheduleException>(() => new Mesh((MeshAxis.Pipeline, 2), (MeshAxis.Pipeline, 2))).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => new Mesh((MeshAxis.Data, 2)).CoordinateOf(2, MeshAxis.Data));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Mesh((MeshAxis.Data, 2)).RankOf(2));
    }
}
