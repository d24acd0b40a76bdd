using CsCheck;
using Pipeline.Protocol;
using Pipeline.Stages;
using Xunit;
using static Pipeline.Protocol.NeighbourProtocol;

namespace Pipeline.Tests.Stages;

public sealed class StepTotalsBuilderTests
{
    private static readonly StepKey Step = new(new RunId(1), Generation.First, 0, 1);

    [Fact]
    public void The_order_in_which_contributions_come_does_not_change_a_bit()
    {
        Gen.Double[0, 1e6].Array[1, 4].Array[1, 6].SelectMany(stages => Gen.Shuffle(Contributions(stages)).Select(shuffled => (stages, shuffled))).Sample(run =>
        {
            var outcome = StepTotalsBuilder.Of(run.shuffled, [run.stages.Length]);
            var sum = run.stages.SelectMany(squares => squares).Aggregate(0.0, (total, square) => total + square);
            Assert.Equal(BitConverter.DoubleToInt64Bits(Math.Sqrt(sum) / 8), BitConverter.DoubleToInt64Bits(outcome.GradientNorm));
            Assert.Equal((12.5, 8L, StepVerdict.Apply), (outcome.LossSum, outcome.TokenCount, outcome.Verdict));
        });
    }

    [Fact]
    public void Replicas_that_hold_shares_of_the_squares_give_the_norm_of_one_that_holds_all()
    {
        Gen.Select(Gen.Double[0, 1e6].Array[1, 6].Array[1, 4], Gen.Int[1, 4], Gen.Int[0, 3].Array[24]).Sample((stages, replicaCount, owners) =>
        {
            var whole = Contributions(stages);
            var shared = Enumerable.Range(0, replicaCount).SelectMany(replica => whole.Select(one => one with
            {
                Stage = replica * stages.Length + one.Stage,
                Squares = [.. one.Squares.Select((square, index) => owners[one.Stage * 6 + index] % replicaCount == replica ? square : 0)],
                Losses = replica == 0 ? one.Losses : [],
                TokenCount = replica == 0 ? one.TokenCount : 0,
            }));
            var (expected, found) = (StepTotalsBuilder.Of(whole, [stages.Length]), StepTotalsBuilder.Of([.. shared], [.. Enumerable.Repeat(stages.Length, replicaCount)]));
            Assert.Equal(BitConverter.DoubleToInt64Bits(expected.GradientNorm), BitConverter.DoubleToInt64Bits(found.GradientNorm));
            Assert.Equal(expected, found);
        });
    }

    [Fact]
    public void Replicas_that_cut_the_model_into_other_stages_give_the_same_norm()
    {
        Gen.Select(Gen.Double[0, 1e6].Array[4, 9], Gen.Int[1, 4].Array[1, 4], Gen.Int[0, 3].Array[9]).Sample((squares, stageCounts, owners) =>
        {
            var whole = StepTotalsBuilder.Of(Contributions([squares]), [1]);
            var contributor = 0;
            var shared = stageCounts.SelectMany((count, replica) => Enumerable.Range(0, count).Select(stage =>
            {
                var own = squares.Select((square, index) => owners[index] % stageCounts.Length == replica ? square : 0).ToArray();
                var isFirstsLast = replica == 0 && stage == count - 1;
                return new SquaredNorms(Step, contributor++, [.. own[(own.Length * stage / count)..(own.Length * (stage + 1) / count)]], isFirstsLast ? [4, 8.5] : [], isFirstsLast ? 8 : 0, -1);
            })).ToArray();
            Assert.Equal(whole, StepTotalsBuilder.Of([.. shared.Reverse()], stageCounts));
            // Where the first replica speaks for all, the others have nothing to say.
            var first = shared.Where(one => one.Stage < stageCounts[0]).Select(one => one with { Squares = [.. squares[(squares.Length * one.Stage / stageCounts[0])..(squares.Length * (one.Stage + 1) / stageCounts[0])]] });
            Assert.Equal(whole, StepTotalsBuilder.Of([.. first, .. shared.Where(one => one.Stage >= stageCounts[0]).Select(one => one with { Squares = [] })], stageCounts));
        });
    }

    [Fact]
    public void Replicas_that_say_different_numbers_of_squares_are_not_cut_to_the_shorter()
    {
        var whole = Contributions([[1, 2, 3]]);
        var fault = Assert.Throws<InvalidOperationException>(() => StepTotalsBuilder.Of([whole[0], whole[0] with { Stage = 1, Squares = [1, 2] }], [1, 1]));
        Assert.Contains("3 and 2 squares", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_loss_that_is_not_finite_outweighs_a_norm_that_is_not()
    {
        var contributions = Contributions([[double.NaN], [1.0]]);
        Assert.Equal(StepVerdict.NonFiniteNorm, StepTotalsBuilder.Of(contributions, [2]).Verdict);
        contributions[^1] = contributions[^1] with { NonFiniteMicroBatch = 2 };
        Assert.Equal((StepVerdict.NonFiniteLoss, 2), (StepTotalsBuilder.Of(contributions, [2]).Verdict, StepTotalsBuilder.Of(contributions, [2]).MicroBatch));
    }

    [Fact]
    public void Losses_are_added_in_index_order_and_the_first_bad_one_is_named()
    {
        var losses = new StepLosses(3);
        losses.Begin();
        foreach (var index in new[] { 2, 0, 1 }) losses.Add(index, index == 0 ? 1e16 : 1, 4);
        Assert.Equal([1e16, 1, 1], losses.LossSums);
        Assert.Equal((12L, -1), (losses.TokenCount, losses.NonFiniteMicroBatch));
        losses.Add(2, double.NaN, 4);
        losses.Add(1, double.PositiveInfinity, 4);
        Assert.Equal(1, losses.NonFiniteMicroBatch);
    }

    private static SquaredNorms[] Contributions(double[][] stages) =>
        [.. stages.Select((squares, stage) => new SquaredNorms(Step, stage, squares, stage == stages.Length - 1 ? [4, 8.5] : [], stage == stages.Length - 1 ? 8 : 0, -1))];
}
