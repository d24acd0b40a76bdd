using Pipeline.Coordinator;
using Xunit;

namespace Pipeline.Tests.Coordinator;

/// <summary>Which unit may change its stage, decided from the units of each stage and where the stages lie.</summary>
public sealed class UnitMoveTests
{
    private static readonly string[] Names = ["embedding", "a", "b", "c", "d", "head"];

    [Theory]
    [InlineData("c", 0, "")]
    [InlineData("b", 2, "lies between it and stage 2, and has to go first")]
    [InlineData("embedding", 2, "only stage 1 can take it")]
    [InlineData("head", 0, "only stage 1 can take it")]
    [InlineData("a", 1, "is there already")]
    public void A_unit_goes_over_the_edge_of_its_stage_and_nowhere_else(string unit, int to, string refusal)
    {
        // Stages: embedding | a b c | d head.
        var wanted = unit == "c" ? 2 : to;
        var (move, why) = UnitMove.Decide(Array.IndexOf(Names, unit), Names, [1, 3, 2], stage => stage == wanted);
        if (refusal.Length > 0) Assert.Contains(refusal, why, StringComparison.Ordinal);
        else Assert.Equal([1, 2, 3], move!.UnitCounts);
        Assert.Equal(refusal.Length > 0, move is null);
    }

    [Fact]
    public void The_only_unit_of_a_stage_stays() =>
        Assert.Contains("a stage without units cannot be", UnitMove.Decide(0, Names, [1, 3, 2], stage => stage == 1).Refusal, StringComparison.Ordinal);

    [Fact]
    public void Where_both_stages_beside_it_are_there_the_edge_decides()
    {
        Assert.Equal([2, 2, 2], UnitMove.Decide(1, Names, [1, 3, 2], stage => stage != 1).Move!.UnitCounts);
        Assert.Equal([1, 2, 3], UnitMove.Decide(3, Names, [1, 3, 2], stage => stage != 1).Move!.UnitCounts);
        Assert.Null(UnitMove.Decide(2, Names, [1, 3, 2], stage => stage != 1).Move);
    }

    [Fact]
    public void No_unit_is_lost_wherever_it_goes()
    {
        for (var unit = 0; unit < Names.Length; unit++)
        {
            for (var to = 0; to < 3; to++)
            {
                if (UnitMove.Decide(unit, Names, [2, 2, 2], stage => stage == to).Move is not { } move) continue;
                Assert.Equal(Names.Length, move.UnitCounts.Sum());
                Assert.All(move.UnitCounts, count => Assert.InRange(count, 1, 3));
            }
        }
    }
}
