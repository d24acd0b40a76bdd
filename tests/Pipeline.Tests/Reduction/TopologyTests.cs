using CsCheck;
using Pipeline.Reduction.Summation;
using Pipeline.Reduction.Topologies;
using Pipeline.Stages;
using Xunit;

namespace Pipeline.Tests.Reduction;

public sealed class TopologyTests
{
    private static readonly Gen<int[][]> Groupings =
        from count in Gen.Int[1, 9]
        from order in Gen.Shuffle(Enumerable.Range(0, count).ToArray())
        from groupOf in Gen.Int[0, 3].Array[count]
        select order.GroupBy(replica => groupOf[replica]).Select(members => members.ToArray()).ToArray();

    [Fact]
    public void Every_topology_evaluates_the_tree_whatever_arrives_first()
    {
        var cases = from groups in Groupings
                    from topology in Gen.Enum<ReductionTopology>()
                    from length in Gen.Int[0, 200]
                    from pieceLength in Gen.Int[1, 250]
                    from leafCount in Gen.Int[1, 20]
                    from gradients in Spans.Moderate(length).Array[leafCount]
                    from cuts in Gen.Int[0, leafCount].Array[groups.Sum(members => members.Length) - 1]
                    from chance in Gen.UInt
                    select (groups, topology, pieceLength, gradients, cuts, chance);
        cases.Sample((groups, topology, pieceLength, gradients, cuts, chance) =>
        {
            int[] bounds = [0, .. cuts.Order(), gradients.Length];
            LeafShare[] shares = [.. bounds.Zip(bounds.Skip(1), (start, end) => new LeafShare(start, end - start))];
            var plan = ReductionPlans.Make(topology, gradients[0].Length, new SummationTree(gradients.Length), shares, groups, pieceLength);
            var answers = Run(plan, gradients, new Random((int)(chance >> 1)));
            var expected = TreeSum(gradients);
            foreach (var answer in answers) Assert.True(Spans.SameBits(expected, answer));
        });
    }

    [Fact]
    public void Every_way_to_the_owners_evaluates_the_tree_and_tells_nobody_else()
    {
        var cases = from groups in Groupings
                    from isBeside in Gen.Bool
                    from length in Gen.Int[1, 200]
                    from pieceLength in Gen.Int[1, 250]
                    from leafCount in Gen.Int[1, 20]
                    from gradients in Spans.Moderate(length).Array[leafCount]
                    from cuts in Gen.Int[0, leafCount].Array[groups.Sum(members => members.Length) - 1]
                    from chance in Gen.UInt
                    select (groups, isBeside, pieceLength, gradients, cuts, chance);
        cases.Sample((groups, isBeside, pieceLength, gradients, cuts, chance) =>
        {
            var random = new Random((int)(chance >> 1));
            int[] bounds = [0, .. cuts.Order(), gradients.Length];
            LeafShare[] shares = [.. bounds.Zip(bounds.Skip(1), (start, end) => new LeafShare(start, end - start))];
            var owned = Shard.InPieces(Shard.Cut(gradients[0].Length, [.. Enumerable.Range(0, shares.Length).OrderBy(_ => random.Next()).Select(replica => new Participant(replica))]), pieceLength);
            var tree = new SummationTree(gradients.Length);
            var plan = isBeside ? ReductionPlans.ScatterBeside(gradients[0].Length, tree, shares, owned) : ReductionPlans.Scatter(gradients[0].Length, tree, shares, owned, groups);
            var answers = Run(plan, gradients, random);
            var expected = TreeSum(gradients);
            foreach (var (replica, answer) in answers.Index())
            {
                foreach (var shard in owned)
                {
                    var sum = shard.Owner.Replica == replica ? expected.AsSpan(shard.Start, shard.Length) : new float[shard.Length];
                    Assert.True(Spans.SameBits(sum.ToArray(), answer.AsSpan(shard.Start, shard.Length).ToArray()));
                }
            }
        });
    }

    [Fact]
    public void A_group_sends_its_sum_for_a_shard_out_once_and_hears_of_it_once()
    {
        Groupings.Sample(groups =>
        {
            var count = groups.Sum(members => members.Length);
            var routes = new WeightRoutes(groups);
            var groupOf = groups.Index().SelectMany(group => group.Item.Select(replica => (replica, group.Index))).ToDictionary(pair => pair.replica, pair => pair.Index);
            var shards = Shard.Cut(count * Shard.Alignment, [.. Enumerable.Range(0, count).Select(replica => new Participant(replica))]);
            var plan = ReductionPlans.Scatter(count * Shard.Alignment, new SummationTree(count), LeafShare.OnePerReplica(count), shards, groups);
            foreach (var shard in shards)
            {
                var owner = shard.Owner.Replica;
                var crossing = plan.Contributions.Where(transfer => transfer.Shard == shard && groupOf[transfer.From.Replica] != groupOf[transfer.To.Replica]).ToArray();
                Assert.Equal(groups.Length - 1, crossing.Length);
                Assert.All(crossing, transfer => Assert.Equal(owner, transfer.To.Replica));
                // Weights go back the other way, from whoever has them to who has not.
                Queue<int> informed = new([owner]);
                List<(int From, int To)> sent = [];
                while (informed.TryDequeue(out var replica))
                {
                    foreach (var target in routes.Targets(replica, owner))
                    {
                        sent.Add((replica, target));
                        informed.Enqueue(target);
                    }
                }

                Assert.Equal(Enumerable.Range(0, count).Where(replica => replica != owner), sent.Select(message => message.To).Order());
                Assert.Equal(groups.Length - 1, sent.Count(message => groupOf[message.From] != groupOf[message.To]));
            }
        });
    }

    [Fact]
    public void Shards_tile_the_bucket_at_multiples_of_two_cache_lines()
    {
        Gen.Select(Gen.Int[0, 5000], Gen.Int[1, 9]).Sample((length, count) =>
        {
            var shards = Shard.Cut(length, [.. Enumerable.Range(0, count).Select(index => new Participant(index))]);
            var end = 0;
            foreach (var shard in shards)
            {
                Assert.Equal(end, shard.Start);
                Assert.Equal(0, shard.Start % Shard.Alignment);
                Assert.InRange(shard.Length, 1, length);
                end += shard.Length;
            }

            Assert.Equal(length, end);
            if (length > 0) Assert.InRange(shards.Max(shard => shard.Length) - (length / count), 0, 2 * Shard.Alignment);
        });
    }

    [Fact]
    public void Pieces_tile_the_shards_and_stay_with_their_owners()
    {
        Gen.Select(Gen.Int[0, 5000], Gen.Int[1, 9], Gen.Int[1, 6000]).Sample((length, count, pieceLength) =>
        {
            var shards = Shard.Cut(length, [.. Enumerable.Range(0, count).Select(index => new Participant(index))]);
            var pieces = Shard.InPieces(shards, pieceLength);
            Assert.Equal(Enumerable.Range(0, pieces.Count), pieces.Select(piece => piece.Index));
            Assert.All(pieces, piece => Assert.InRange(piece.Length, 1, pieceLength));
            Assert.Equal(
                shards.SelectMany(shard => Enumerable.Range(shard.Start, shard.Length).Select(element => (element, shard.Owner))),
                pieces.SelectMany(piece => Enumerable.Range(piece.Start, piece.Length).Select(element => (element, piece.Owner))));
        });
    }

    [Fact]
    public void Sharded_sends_two_times_d_minus_one_over_d_of_the_gradient_a_replica()
    {
        for (var d = 1; d <= 8; d++)
        {
            var plan = Plan(ReductionTopology.Sharded, d * 1024, d, []);
            Assert.All(plan.Participants, replica => Assert.Equal(2L * (d - 1) * 1024, plan.ElementsSentBy(replica)));
        }
    }

    [Fact]
    public void A_group_that_is_an_aligned_subtree_passes_one_sum_on()
    {
        var plan = Plan(ReductionTopology.Hierarchical, 640, 8, [[0, 1, 2, 3], [4, 5, 6, 7]]);
        Assert.All(plan.Contributions, transfer => Assert.Single(transfer.Nodes));
        var other = Plan(ReductionTopology.Hierarchical, 640, 6, [[0, 1, 2], [3, 4, 5]]);
        Assert.Contains(other.Contributions, transfer => transfer.Nodes.Count == 2);
    }

    [Fact]
    public void Groups_that_do_not_hold_every_replica_once_are_refused()
    {
        Assert.Throws<ArgumentException>(() => Plan(ReductionTopology.Hierarchical, 8, 3, [[0, 1], [1, 2]]));
        Assert.Throws<ArgumentException>(() => Plan(ReductionTopology.Hierarchical, 8, 3, [[0], [2]]));
        Assert.Throws<ArgumentException>(() => Plan(ReductionTopology.Hierarchical, 8, 1, [[0], []]));
    }

    [Fact]
    public void A_sum_that_the_plan_does_not_send_here_is_refused()
    {
        var plan = Plan(ReductionTopology.Sharded, 64, 2, []);
        using var reduction = new ShardReduction(plan, new Participant(0), plan.Shards[0]);
        reduction.Add(TreeNode.Leaf(1), new float[32]);
        Assert.Throws<InvalidOperationException>(() => reduction.Add(TreeNode.Leaf(1), new float[32]));
        Assert.Throws<InvalidOperationException>(() => reduction.TakeSum(new float[32]));
    }

    [Fact]
    public void Even_shares_tile_the_leaves()
    {
        Gen.Select(Gen.Int[0, 50], Gen.Int[1, 9]).Sample((leafCount, replicaCount) =>
        {
            var shares = LeafShare.Even(leafCount, replicaCount);
            Assert.Equal(Enumerable.Range(0, leafCount), shares.SelectMany(share => Enumerable.Range(share.First, share.Count)));
            Assert.InRange(shares.Max(share => share.Count) - shares.Min(share => share.Count), 0, 1);
        });
    }

    [Fact]
    public void Buckets_hold_every_unit_once_in_the_order_of_backward()
    {
        Gen.Select(Gen.Long[0, 1000].Array[1, 30], Gen.Long[1, 3000]).Sample((lengths, wanted) =>
        {
            var buckets = BucketList.Of(lengths, wanted);
            Assert.Equal(Enumerable.Range(0, lengths.Length).Reverse(), buckets.SelectMany(bucket => bucket.Units));
            Assert.Equal(lengths.Sum(), buckets.Sum(bucket => bucket.Length));
            Assert.All(buckets.SkipLast(1), bucket => Assert.InRange(bucket.Length, wanted, long.MaxValue));
        });
    }

    [Fact]
    public void No_bucket_lies_across_a_cut_and_those_between_two_cuts_are_what_these_units_have_alone()
    {
        Gen.Select(Gen.Long[0, 1000].Array[1, 30], Gen.Long[1, 3000], Gen.Int[0, 30].Array[0, 5]).Sample((lengths, wanted, cuts) =>
        {
            var buckets = BucketList.Of(lengths, wanted, cuts);
            Assert.Equal(Enumerable.Range(0, lengths.Length).Reverse(), buckets.SelectMany(bucket => bucket.Units));
            Assert.Equal(Enumerable.Range(0, buckets.Count), buckets.Select(bucket => bucket.Index));
            int[] starts = [.. cuts.Append(0).Where(cut => cut < lengths.Length).Distinct().Order()];
            foreach (var (start, end) in starts.Zip(starts.Skip(1).Append(lengths.Length)))
            {
                var alone = BucketList.Of(lengths[start..end], wanted).Select(bucket => string.Join(',', bucket.Units.Select(unit => start + unit)));
                Assert.Equal(alone, buckets.Where(bucket => bucket.Units[0] >= start && bucket.Units[0] < end).Select(bucket => string.Join(',', bucket.Units)));
            }
        });
    }

    private static ReductionPlan Plan(ReductionTopology topology, int length, int replicaCount, int[][] groups) =>
        ReductionPlans.Make(topology, length, new SummationTree(replicaCount), LeafShare.OnePerReplica(replicaCount), groups);

    private static float[] TreeSum(float[][] leaves)
    {
        using var sums = new TreeAccumulator(new SummationTree(leaves.Length), leaves[0].Length);
        for (var leaf = 0; leaf < leaves.Length; leaf++) sums.Add(leaf, leaves[leaf]);
        var sum = new float[leaves[0].Length];
        sums.TakeRoot(sum);
        return sum;
    }

    /// <summary>Plays a plan with messages delivered in a random order; what each replica has at the end.</summary>
    private static float[][] Run(ReductionPlan plan, float[][] gradients, Random random)
    {
        var answers = plan.Shares.Select(_ => new float[plan.Length]).ToArray();
        foreach (var shard in plan.Shards)
        {
            var parts = plan.Participants.ToDictionary(participant => participant, participant => new ShardReduction(plan, participant, shard));
            List<(Participant To, TreeNode Node, float[] Values)> flying = [];
            foreach (var replica in plan.Participants.Where(participant => participant.IsReplica))
            {
                using var own = new TreeAccumulator(plan.Tree, shard.Length);
                var share = plan.Shares[replica.Replica];
                for (var leaf = share.First; leaf < share.First + share.Count; leaf++) own.Add(leaf, gradients[leaf].AsSpan(shard.Start, shard.Length));
                foreach (var part in own.TakeParts())
                {
                    flying.Add((replica, part.Node, part.Sum.Span.ToArray()));
                    part.Dispose();
                }
            }

            while (flying.Count > 0)
            {
                var at = random.Next(flying.Count);
                var (to, node, values) = flying[at];
                flying.RemoveAt(at);
                parts[to].Add(node, values);
                if (!parts[to].IsReady || parts[to].Outgoing is not { } outgoing) continue;
                var sums = parts[to].TakeOutgoing();
                Assert.Equal(outgoing.Nodes, sums.Select(sum => sum.Node));
                foreach (var sum in sums)
                {
                    flying.Add((outgoing.To, sum.Node, sum.Sum.Span.ToArray()));
                    sum.Dispose();
                }
            }

            Answer(plan, shard, parts[shard.Owner], answers);
            foreach (var part in parts.Values) part.Dispose();
        }

        return answers;
    }

    private static void Answer(ReductionPlan plan, Shard shard, ShardReduction owner, float[][] answers)
    {
        var sum = new float[shard.Length];
        owner.TakeSum(sum);
        HashSet<Participant> informed = [shard.Owner];
        foreach (var answer in plan.Answers.Where(answer => answer.Shard == shard))
        {
            Assert.Contains(answer.From, informed);
            Assert.True(informed.Add(answer.To));
        }

        foreach (var replica in informed.Where(participant => participant.IsReplica)) sum.CopyTo(answers[replica.Replica], shard.Start);
    }
}
