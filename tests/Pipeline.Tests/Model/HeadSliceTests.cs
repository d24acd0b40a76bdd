using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Xunit;
using static TorchSharp.torch;

namespace Pipeline.Tests.Model;

public sealed class HeadSliceTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    public void A_head_that_is_cut_computes_the_loss_and_the_gradients_of_the_whole_one(int sliceCount)
    {
        var settings = TinyModels.Settings(tied: false);
        using var whole = TinyModels.Whole(settings, Precision.Fp64);
        using var cut = TinyModels.Whole(settings with { HeadSlices = sliceCount }, Precision.Fp64);
        CopyWeights(whole, cut);
        using var batch = new RandomTokens(settings, 1, 3).Training(1, 0, CPU);
        var (expected, found) = (whole.Forward(batch, null, PassMode.Train), cut.Forward(batch, null, PassMode.Train));
        // Sums of some hundred terms in fp64, in another order.
        Assert.Equal(expected.LossSum(), found.LossSum(), 1e-10);
        whole.Backward(expected, null);
        cut.Backward(found, null);
        foreach (var (one, other) in Matching(whole, cut))
            Assert.True(allclose(one.Gradient, other.Gradient, 1e-9, 1e-12), one.FullName);
        foreach (var (one, parts) in Heads(whole, cut))
            Assert.True(allclose(one.Gradient, cat([.. parts.Select(part => part.Gradient)], 0), 1e-9, 1e-12));
    }

    [Theory]
    [InlineData(Precision.Fp32, 1e-5)]
    [InlineData(Precision.Bf16, 2e-2)]
    public void In_the_arithmetic_of_runs_the_cut_head_stays_within_rounding_of_the_whole_one(Precision precision, double tolerance)
    {
        var settings = TinyModels.Settings(tied: false);
        using var whole = TinyModels.Whole(settings, precision);
        using var cut = TinyModels.Whole(settings with { HeadSlices = 3 }, precision);
        CopyWeights(whole, cut);
        using var batch = new RandomTokens(settings, 1, 3).Training(1, 0, CPU);
        var (expected, found) = (whole.Forward(batch, null, PassMode.Train), cut.Forward(batch, null, PassMode.Train));
        Assert.Equal(expected.LossSum(), found.LossSum(), expected.LossSum() * tolerance);
        whole.Backward(expected, null);
        cut.Backward(found, null);
        foreach (var (one, other) in Matching(whole, cut).Where(pair => pair.Item1.FullName.StartsWith("layers.0", StringComparison.Ordinal)))
        {
            var scale = one.Gradient.abs().max().item<float>();
            Assert.True(allclose(one.Gradient, other.Gradient, 0, scale * tolerance), one.FullName);
        }
    }

    [Fact]
    public void A_cut_head_is_refused_where_it_is_tied_or_finer_than_the_vocabulary()
    {
        Assert.Contains("tied", Assert.Single((TinyModels.Settings() with { HeadSlices = 2 }).Faults()), StringComparison.Ordinal);
        Assert.Contains("model.vocabulary", Assert.Single((TinyModels.Settings(tied: false) with { HeadSlices = 33 }).Faults()), StringComparison.Ordinal);
    }

    private static void CopyWeights(StageModel whole, StageModel cut)
    {
        using var guard = no_grad();
        foreach (var (one, other) in Matching(whole, cut)) other.Master.copy_(one.Master);
        foreach (var (one, parts) in Heads(whole, cut))
        {
            long row = 0;
            foreach (var part in parts)
            {
                part.Master.copy_(one.Master.narrow(0, row, part.Spec.Shape[0]));
                row += part.Spec.Shape[0];
            }
        }

        cut.StateLoaded();
    }

    private static IEnumerable<(ParameterState, ParameterState)> Matching(StageModel whole, StageModel cut) =>
        from one in All(whole)
        from other in All(cut)
        where other.FullName == one.FullName.Replace("head.norm", "head.0.norm", StringComparison.Ordinal)
        select (one, other);

    private static IEnumerable<(ParameterState, ParameterState[])> Heads(StageModel whole, StageModel cut)
    {
        yield return (All(whole).Single(one => one.FullName == "head.output.weight"),
            [.. All(cut).Where(part => part.FullName.StartsWith("head.", StringComparison.Ordinal) && part.FullName.EndsWith("output.weight", StringComparison.Ordinal))]);
    }

    private static IEnumerable<ParameterState> All(StageModel model) => model.Units.SelectMany(unit => unit.Parameters);
}
