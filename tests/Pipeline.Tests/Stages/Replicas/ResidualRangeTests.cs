using CsCheck;
using Pipeline.Protocol;
using Pipeline.Reduction.Topologies;
using Pipeline.Stages;
using Xunit;

namespace Pipeline.Tests.Stages.Replicas;

public sealed class ResidualRangeTests
{
    [Fact]
    public void A_name_says_its_range_and_other_names_say_none()
    {
        Gen.Select(Gen.Int[0, 999], Gen.Int[-1, 99], Gen.Int[0, 9999], Gen.Int[1, 99]).Sample((bucket, from, start, length) =>
        {
            var range = new ResidualRange(bucket, from, start, length);
            Assert.Equal(range, ResidualRange.Parse(range.Name, length));
        });
        Assert.All(["unit-1.from-2.at-3.factors", "unit-1.shard-0.from-2", "outer.momentum", "unit-1.answer.at-"], name => Assert.Null(ResidualRange.Parse(name, 8)));
    }

    [Fact]
    public void Whatever_replicas_there_are_then_what_was_lost_is_owed_once_element_by_element() =>
        Gen.Select(Gen.Int[1, 12], Gen.Int[2, 5], Gen.Int[2, 5], Gen.Int[0, 1_000_000]).Sample((lines, before, after, seed) =>
        {
            var length = lines * 32 - 5;
            var chance = new Random(seed);
            using ResidualStore former = new();
            var owed = new float[length];
            foreach (var (range, _) in Ranges(length, before, _ => true))
            {
                // Whole numbers, so that no order of addition shows.
                foreach (ref var value in former.Of(range.Name, range.Length)) value = chance.Next(-1000, 1000);
                Add(owed, range, former.Of(range.Name, range.Length));
            }

            using var copy = StateCopy.Of(new CopyId(new RunId(1), Generation.First, 0, 1), [], former, CopyMemory.None);
            var found = new float[length];
            for (var self = 0; self < after; self++)
            {
                using ResidualStore own = new();
                own.Load([copy]);
                foreach (var (range, owner) in Ranges(length, after, from => from == self))
                {
                    own.Adopt(range, from => ResidualRange.Takes(self, from, owner, after));
                    Add(found, range, own.Of(range.Name, range.Length));
                    if (before != after) continue;
                    // Nothing has changed: each has what it had, to the bit.
                    Assert.Equal(former.Of(range.Name, range.Length).ToArray(), own.Of(range.Name, range.Length).ToArray());
                }
            }

            Assert.Equal(owed, found);
        }, iter: 300, threads: 1);

    /// <summary>What replicas send in a sharded reduction of one bucket.</summary>
    private static IEnumerable<(ResidualRange Range, int Owner)> Ranges(int length, int count, Func<int, bool> isWanted) =>
        from shard in Shard.Cut(length, [.. Enumerable.Range(0, count).Select(replica => new Participant(replica))])
        from sender in Enumerable.Range(0, count)
        where sender != shard.Owner.Replica && isWanted(sender)
        select (new ResidualRange(7, sender, shard.Start, shard.Length), shard.Owner.Replica);

    private static void Add(float[] sum, ResidualRange range, ReadOnlySpan<float> values)
    {
        for (var index = 0; index < values.Length; index++) sum[range.Start + index] += values[index];
    }
}
