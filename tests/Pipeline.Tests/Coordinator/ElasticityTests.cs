using CsCheck;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Xunit;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Tests.Coordinator;

public sealed class ElasticityTests
{
    [Theory]
    [InlineData(new[] { 1, 1 }, 1, 2, 2)]
    [InlineData(new[] { 1 }, 1, 2, 1)]
    [InlineData(new[] { 1, 1, 1 }, 2, 2, 1)]
    [InlineData(new[] { 2, 2, 2 }, 2, 2, 2)]
    [InlineData(new[] { 1 }, 2, 2, 1)]
    [InlineData(new int[0], 2, 2, 1)]
    public void There_are_as_many_replicas_as_there_is_room_for_at_least_one_and_never_more_than_wanted(int[] room, int ranksPerReplica, int wanted, int expected) =>
        Assert.Equal(expected, Elasticity.ReplicasFor(room, ranksPerReplica, wanted));

    [Fact]
    public void Replicas_that_have_lost_nothing_stay_in_their_order_and_further_ones_have_no_former_place() =>
        Gen.Select(Gen.Int[1, 3], Gen.Bool.Array[12], Gen.Int[1, 6]).Sample((perReplica, left, count) =>
        {
            var former = left.Length / perReplica;
            var heirs = Elasticity.Heirs(left, perReplica, count);
            Assert.Equal(count, heirs.Count);
            var staying = heirs.TakeWhile(replica => replica >= 0).ToArray();
            Assert.Equal(Math.Min(former, count), staying.Length);
            Assert.All(heirs.Skip(staying.Length), replica => Assert.Equal(-1, replica));
            Assert.Equal(staying.Distinct().Order(), staying);
            // Nobody who was passed over has lost fewer ranks than somebody who stays.
            var least = staying.Min(Whole);
            Assert.All(Enumerable.Range(0, former).Except(staying), replica => Assert.True(Whole(replica) <= least));

            int Whole(int replica) => left.Skip(replica * perReplica).Take(perReplica).Count(one => one);
        });

    [Fact]
    public void Of_replicas_with_stages_of_their_own_those_stay_that_have_lost_the_least_and_take_the_places_of_their_like() =>
        Gen.Select(Gen.Int[1, 4].Array[1, 5], Gen.Bool.Array[20], Gen.Int[1, 5]).Sample((counts, left, wanted) =>
        {
            var isLeft = left[..counts.Sum()];
            var count = Math.Min(wanted, counts.Length);
            var staying = Elasticity.Staying(counts, isLeft, count);
            Assert.Equal(count, staying.Count);
            Assert.Equal(staying.Distinct().Order(), staying);
            Assert.All(Enumerable.Range(0, counts.Length).Except(staying), replica => Assert.All(staying, one => Assert.True(Lost(one) <= Lost(replica))));
            // Those that stay are their own heirs, or have lost as much as who is; those that come back have no former place.
            int[] sizes = [.. staying.Select(replica => counts[replica])];
            var heirs = Elasticity.Heirs(counts, isLeft, sizes);
            Assert.Equal(sizes, heirs.Select(replica => counts[replica]));
            Assert.Equal(count, heirs.Distinct().Count());
            Assert.Equal(staying.Sum(Lost), heirs.Sum(Lost));
            var missing = Elasticity.Missing(counts, sizes);
            Assert.Equal(counts.Order(), sizes.Concat(missing).Order());
            var grown = Elasticity.Heirs(sizes, [.. Enumerable.Repeat(true, sizes.Sum())], [.. sizes, .. missing]);
            Assert.Equal([.. Enumerable.Range(0, count), .. Enumerable.Repeat(-1, missing.Count)], grown);

            int Lost(int replica) => isLeft.Skip(counts.Take(replica).Sum()).Take(counts[replica]).Count(isThere => !isThere);
        });

    [Fact]
    public void One_copy_for_each_rank_of_a_replica_is_the_whole_state_unless_replicas_share_it_out()
    {
        var (left, right) = (new NodeId("left", 1), new NodeId("right", 1));
        IReadOnlyList<IReadOnlyList<int>> alike = [[0, 2], [1, 3]];
        var copies = new CopyLedger(4, 0);
        copies.Enter(0, 2, right);
        copies.Enter(3, 2, left);
        Assert.Equal([(0, right), (3, left)], copies.HoldersAt(2, alike, sharesState: false));
        Assert.Null(copies.HoldersAt(2, alike, sharesState: true));
        copies.Enter(1, 2, left);
        copies.Enter(2, 2, left);
        Assert.Equal([(0, right), (1, left), (2, left), (3, left)], copies.HoldersAt(2, alike, sharesState: true));
        copies.Lose(left);
        Assert.Null(copies.HoldersAt(2, alike, sharesState: false));
        Assert.Equal([2], copies.Steps);
    }

    [Fact]
    public void Steps_that_fewer_ranks_run_again_are_committed_once_and_held_against_what_was_known_where_the_order_is_the_same()
    {
        foreach (var isSameOrder in new[] { true, false })
        {
            var ledger = new StepLedger(4, 0);
            for (var step = 1L; step <= 3; step++)
                for (var rank = 0; rank < 4; rank++) ledger.Enter(Report(rank, step, step));
            ledger.Enter(Report(2, 4, 4));
            Assert.Equal(3, ledger.Committed);
            ledger.Resize(2, 1, isSameOrder);
            Assert.Equal(1, ledger.CompletedBy(1));
            Assert.Empty(ledger.Enter(Report(0, 2, 2)));
            if (isSameOrder) Assert.Throws<InvalidOperationException>(() => ledger.Enter(Report(1, 2, 2.5)));
            else Assert.Empty(ledger.Enter(Report(1, 2, 2.5)));
            // What a rank that is no more had said of a step that was not committed does not count.
            Assert.Empty(ledger.Enter(Report(0, 4, 4)));
            Assert.Equal([1], ledger.Missing);
            Assert.Equal(2, Assert.Single(ledger.Enter(Report(1, 4, 4))).Count);
            Assert.Empty(ledger.Enter(Report(2, 5, 5)));
        }
    }

    private static StepCompleted Report(int rank, long step, double loss) =>
        new(Generation.First, rank, step, new StepOutcome(loss, 8, 1, StepVerdict.Apply, -1), 0.1, new StepTiming(1, 1, 0), 0, [], []);
}
