using Pipeline.Nodes;
using Xunit;
using static Pipeline.Protocol.MembershipProtocol;

namespace Pipeline.Tests.Nodes;

/// <summary>Row P1 of the fault matrix: two clusters where there should be one. One that nobody uses is given up, never both, and none that is used.</summary>
public sealed class FoundedApartTests
{
    [Fact]
    public void Clusters_with_a_member_in_common_are_one_whoever_knows_of_whom()
    {
        Assert.True(FoundedApart.Are(Cluster(["a"]), Cluster(["b", "c"])));
        // Whoever joins is known to those first through whom it does.
        Assert.False(FoundedApart.Are(Cluster(["a", "b"]), Cluster(["b"])));
        Assert.False(FoundedApart.Are(Cluster(["b"]), Cluster(["a", "b"])));
    }

    [Fact]
    public void Of_any_two_clusters_at_most_one_is_given_up_and_only_one_without_a_run_and_without_other_members()
    {
        ClusterStanding[] left = [.. All("a")], right = [.. All("b")];
        foreach (var own in left)
        {
            foreach (var other in right)
            {
                var (yields, isLeftTo) = (FoundedApart.Yields(own, other), FoundedApart.Yields(other, own));
                Assert.False(yields && isLeftTo, $"{own} and {other}");
                if (yields) Assert.True(own is { Members.Count: 1, IsAtRun: false });
                // Where one of both could be given up without a loss, one is.
                if (own is { Members.Count: 1, IsAtRun: false } || other is { Members.Count: 1, IsAtRun: false }) Assert.True(yields || isLeftTo, $"{own} and {other}");
            }
        }

        static IEnumerable<ClusterStanding> All(string name) =>
            from count in new[] { 1, 2, 3 }
            from isAtRun in new[] { true, false }
            from since in new[] { 10L, 20L }
            select Cluster([.. Enumerable.Range(0, count).Select(member => $"{name}{member}")]) with { IsAtRun = isAtRun, UpSince = since };
    }

    [Fact]
    public void The_younger_of_two_that_are_alike_is_given_up_and_of_two_of_one_age_always_the_same()
    {
        Assert.True(FoundedApart.Yields(Cluster(["a"]) with { UpSince = 20 }, Cluster(["b"]) with { UpSince = 10 }));
        Assert.False(FoundedApart.Yields(Cluster(["b"]) with { UpSince = 10 }, Cluster(["a"]) with { UpSince = 20 }));
        Assert.False(FoundedApart.Yields(Cluster(["a"]), Cluster(["b"])));
        Assert.True(FoundedApart.Yields(Cluster(["b"]), Cluster(["a"])));
    }

    [Fact]
    public void What_is_said_names_both_lists_where_they_differ_and_the_remedy()
    {
        var (own, other) = (Cluster(["a"]), Cluster(["b", "c"]) with { SeedNodes = ["b:1", "a:1"], Name = "second\u001b[2J" });
        Assert.True(FoundedApart.IsByList(own, other));
        Assert.Equal(
            @"Node first belongs to a cluster of its own (a), and node second\u001B[2J to another one of the same name (b, c): they were founded apart. "
            + "cluster.seed-nodes is a:1, b:1 here and b:1, a:1 there. Give every node the same list in the same order, and start the nodes of one of both anew.",
            FoundedApart.Sentence(own, other));
        other = other with { SeedNodes = own.SeedNodes };
        Assert.False(FoundedApart.IsByList(own, other));
        Assert.EndsWith("was started while it could not reach the others. Start the nodes of one of both anew: they join the other.", FoundedApart.Sentence(own, other), StringComparison.Ordinal);
        Assert.Contains("m0, m1, m2, m3, m4, m5, m6, m7 and 2 more", FoundedApart.Sentence(own, Cluster([.. Enumerable.Range(0, 10).Select(member => $"m{member}")])), StringComparison.Ordinal);
    }

    private static ClusterStanding Cluster(string[] members) => new("first", members[0], members, ["a:1", "b:1"], false, 10, false);
}
