using CsCheck;
using Pipeline.Reduction.Summation;
using Xunit;

namespace Pipeline.Tests.Reduction;

public sealed class SummationTreeTests
{
    private const int Length = 37;

    [Fact]
    public void Sums_are_those_of_the_recursive_definition()
    {
        Gen.Int[1, 40].SelectMany(count => Spans.Moderate(Length).Array[count]).Sample(leaves =>
        {
            using var sums = new TreeAccumulator(new SummationTree(leaves.Length), Length);
            for (var leaf = 0; leaf < leaves.Length; leaf++) sums.Add(leaf, leaves[leaf]);
            var sum = new float[Length];
            sums.TakeRoot(sum);
            Assert.True(Spans.SameBits(Naive(leaves), sum));
        });
    }

    [Fact]
    public void The_bits_do_not_depend_on_how_the_leaves_are_spread_over_replicas()
    {
        var cases = from count in Gen.Int[1, 33]
                    from leaves in Spans.Moderate(Length).Array[count]
                    from cuts in Gen.Int[0, count].Array[0, 7]
                    from order in Gen.Shuffle(Enumerable.Range(0, cuts.Length + 1).ToArray())
                    select (leaves, cuts, order);
        cases.Sample((leaves, cuts, order) =>
        {
            var tree = new SummationTree(leaves.Length);
            int[] bounds = [0, .. cuts.Order(), leaves.Length];
            using var root = new TreeAccumulator(tree, Length);
            foreach (var replica in order)
            {
                using var share = new TreeAccumulator(tree, Length);
                for (var leaf = bounds[replica]; leaf < bounds[replica + 1]; leaf++) share.Add(leaf, leaves[leaf]);
                var parts = share.TakeParts();
                Assert.Equal(tree.CompleteSubtrees(bounds[replica], bounds[replica + 1] - bounds[replica]), parts.Select(part => part.Node));
                Assert.InRange(parts.Count, 0, Math.Max(1, 2 * tree.Depth));
                foreach (var part in parts) root.Add(part);
            }

            Assert.True(root.IsComplete);
            var sum = new float[Length];
            root.TakeRoot(sum);
            Assert.True(Spans.SameBits(Naive(leaves), sum));
        });
    }

    [Fact]
    public void Every_split_of_up_to_nine_leaves_over_up_to_four_replicas_gives_the_same_bits()
    {
        for (var count = 1; count <= 9; count++)
        {
            var leaves = Enumerable.Range(0, count).Select(leaf => Enumerable.Range(0, Length).Select(at => MathF.Sin(leaf * 31 + at) * MathF.ScaleB(1, leaf % 7)).ToArray()).ToArray();
            var expected = Naive(leaves);
            var tree = new SummationTree(count);
            foreach (var (first, second, third) in from a in Enumerable.Range(0, count + 1) from b in Enumerable.Range(a, count + 1 - a) from c in Enumerable.Range(b, count + 1 - b) select (a, b, c))
            {
                using var root = new TreeAccumulator(tree, Length);
                int[] bounds = [0, first, second, third, count];
                for (var replica = 0; replica < 4; replica++)
                {
                    using var share = new TreeAccumulator(tree, Length);
                    for (var leaf = bounds[replica]; leaf < bounds[replica + 1]; leaf++) share.Add(leaf, leaves[leaf]);
                    foreach (var part in share.TakeParts()) root.Add(part);
                }

                var sum = new float[Length];
                root.TakeRoot(sum);
                Assert.True(Spans.SameBits(expected, sum));
            }
        }
    }

    [Fact]
    public void Leaves_in_any_order_give_the_same_bits()
    {
        var cases = from count in Gen.Int[1, 24]
                    from leaves in Spans.Moderate(Length).Array[count]
                    from order in Gen.Shuffle(Enumerable.Range(0, count).ToArray())
                    select (leaves, order);
        cases.Sample((leaves, order) =>
        {
            using var sums = new TreeAccumulator(new SummationTree(leaves.Length), Length);
            foreach (var leaf in order) sums.Add(leaf, leaves[leaf]);
            var sum = new float[Length];
            sums.TakeRoot(sum);
            Assert.True(Spans.SameBits(Naive(leaves), sum));
        });
    }

    [Fact]
    public void Leaves_that_are_added_from_where_they_lie_give_the_same_bits_and_stay_as_they_are()
    {
        var cases = from count in Gen.Int[1, 24]
                    from leaves in Spans.Moderate(Length).Array[count]
                    from order in Gen.Shuffle(Enumerable.Range(0, count).ToArray())
                    from isLent in Gen.Bool.Array[count]
                    select (leaves, order, isLent);
        cases.Sample((leaves, order, isLent) =>
        {
            using var sums = new TreeAccumulator(new SummationTree(leaves.Length), Length);
            var lent = leaves.Select(leaf =>
            {
                var buffer = new FloatBuffer(Length);
                leaf.CopyTo(buffer.Span);
                return buffer;
            }).ToArray();
            for (var step = 0; step < 2; step++)
            {
                foreach (var leaf in order.SkipLast(1))
                {
                    if (isLent[leaf]) sums.AddLent(TreeNode.Leaf(leaf), lent[leaf].Span);
                    else sums.Add(leaf, leaves[leaf]);
                }

                var sum = new float[Length];
                sums.TakeRoot(TreeNode.Leaf(order[^1]), leaves[order[^1]], sum);
                Assert.True(Spans.SameBits(Naive(leaves), sum));
                Assert.Equal(0, sums.HeldCount);
            }

            for (var leaf = 0; leaf < leaves.Length; leaf++) Assert.True(Spans.SameBits(leaves[leaf], lent[leaf].Span.ToArray()));
            foreach (var buffer in lent) buffer.Dispose();
        });
    }

    [Fact]
    public void The_sum_of_all_may_take_the_place_of_what_was_lent()
    {
        using var place = new FloatBuffer(Length);
        using var sums = new TreeAccumulator(new SummationTree(2), Length);
        place.Span.Fill(1.5f);
        sums.AddLent(TreeNode.Leaf(0), place.Span);
        sums.TakeRoot(TreeNode.Leaf(1), Enumerable.Repeat(2f, Length).ToArray(), place.Span);
        Assert.All(place.Span.ToArray(), value => Assert.Equal(3.5f, value));
    }

    [Fact]
    public void Leaves_in_index_order_need_one_buffer_a_level_and_none_more_in_later_steps()
    {
        Gen.Int[1, 300].Sample(count =>
        {
            var tree = new SummationTree(count);
            Assert.Equal((int)Math.Ceiling(Math.Log2(count)), tree.Depth);
            using var sums = new TreeAccumulator(tree, 1);
            for (var step = 0; step < 3; step++)
            {
                for (var leaf = 0; leaf < count; leaf++) sums.Add(leaf, [leaf]);
                var sum = new float[1];
                sums.TakeRoot(sum);
                Assert.Equal(count * (count - 1) / 2, sum[0]);
            }

            Assert.InRange(sums.PeakBufferCount, 1, tree.Depth + 1);
        });
    }

    [Fact]
    public void A_leaf_is_never_added_twice_nor_under_another_sum()
    {
        using var sums = new TreeAccumulator(new SummationTree(6), 1);
        sums.Add(0, [1]);
        sums.Add(1, [1]);
        var twice = Assert.Throws<InvalidOperationException>(() => sums.Add(1, [1]));
        Assert.Contains("Leaf 1 would be added twice", twice.Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => sums.Add(new TreeNode(2, 0), [1]));
        Assert.Throws<InvalidOperationException>(() => sums.Add(6, [1]));
        Assert.Throws<InvalidOperationException>(() => sums.TakeRoot(new float[1]));
    }

    [Fact]
    public void A_node_without_a_sibling_is_the_one_above_it()
    {
        var tree = new SummationTree(5);
        Assert.Equal(new TreeNode(2, 1), tree.Highest(TreeNode.Leaf(4)));
        Assert.Equal([new TreeNode(1, 1), new TreeNode(2, 1)], tree.CompleteSubtrees(2, 3));
        Assert.Equal([tree.Root], tree.CompleteSubtrees(0, 5));
    }

    /// <summary>The definition: the largest power of two below the count to the left, the rest to the right.</summary>
    private static float[] Naive(ReadOnlySpan<float[]> leaves)
    {
        if (leaves.Length == 1) return leaves[0];
        var half = 1;
        while (half * 2 < leaves.Length) half *= 2;
        return [.. Naive(leaves[..half]).Zip(Naive(leaves[half..]), (left, right) => left + right)];
    }
}
