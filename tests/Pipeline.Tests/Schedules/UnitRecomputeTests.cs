using CsCheck;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class UnitRecomputeTests
{
    private static readonly Gen<RecomputePolicy[]> s_policies = Gen.Int[0, 2].Select(policy => (RecomputePolicy)policy).Array[1, 20];

    [Theory]
    [InlineData("none", null, "none")]
    [InlineData(" full ", null, "full")]
    [InlineData("4xfull, 2xnone", 6, "4xfull, 2xnone")]
    [InlineData("full,none,none,2xnone", 5, "1xfull, 4xnone")]
    [InlineData("3xselective", 3, "3xselective")]
    public void A_word_holds_for_any_number_of_units_and_parts_for_those_that_they_name(string text, int? unitCount, string written)
    {
        var recompute = UnitRecompute.Parse(text)!;
        Assert.Equal((unitCount, written), (recompute.UnitCount, recompute.ToString()));
    }

    [Theory]
    [InlineData("")]
    [InlineData("all")]
    [InlineData("4xfull,")]
    [InlineData("0xfull,2xnone")]
    [InlineData("-1xfull")]
    [InlineData("4*full")]
    [InlineData("2xFull")]
    [InlineData("1000000xfull")]
    [InlineData("99999xfull,99999xnone")]
    public void What_is_neither_is_no_value(string text) => Assert.Null(UnitRecompute.Parse(text));

    [Fact]
    public void What_is_written_reads_back_as_the_same_and_equal_are_those_that_say_the_same() => Gen.Select(s_policies, s_policies).Sample((one, other) =>
    {
        var recompute = UnitRecompute.Of(one);
        Assert.Equal(recompute, UnitRecompute.Parse(recompute.ToString()));
        Assert.Equal(recompute.GetHashCode(), UnitRecompute.Of(one).GetHashCode());
        Assert.Equal(one.SequenceEqual(other), recompute == UnitRecompute.Of(other));
        Assert.NotEqual(recompute, UnitRecompute.All(one[0]));
        Assert.Equal(one, Enumerable.Range(0, one.Length).Select(unit => recompute[unit]));
        Assert.Equal(one.Distinct().Count() == 1 ? one[0] : (RecomputePolicy?)null, recompute.Everywhere);
    });

    [Fact]
    public void A_stage_recomputes_what_its_units_drop_and_keeps_the_input_of_each_run_of_those_that_drop_all() => Gen.Select(s_policies, Gen.Int[1, 4]).Sample((policies, stages) =>
    {
        if (stages > policies.Length) return;
        var units = policies.Select((_, unit) => Unit(unit + 1)).ToArray();
        var partition = Partitioner.Partition([.. units.Select(unit => unit.Forward)], stages);
        var recompute = UnitRecompute.Of(policies);
        var profile = StageProfile.Of([.. units], partition, recompute: recompute);
        for (var stage = 0; stage < stages; stage++)
        {
            var range = Enumerable.Range(partition[stage].Start, partition[stage].Count).ToArray();
            var work = range.Sum(unit => policies[unit] switch { RecomputePolicy.Full => units[unit].Forward, RecomputePolicy.Selective => units[unit].SelectiveRecompute, _ => 0 });
            Assert.Equal(work, profile.Costs.Of(new StageAction(stage, ActionKind.Recompute, 0)), 1e-9);
            var kept = 0L;
            foreach (var unit in range)
            {
                var isFirstOfRun = unit == range[0] || policies[unit - 1] is not RecomputePolicy.Full;
                kept += policies[unit] switch
                {
                    RecomputePolicy.None => units[unit].KeptBytes,
                    RecomputePolicy.Selective => units[unit].SelectiveKeptBytes!.Value,
                    _ => isFirstOfRun && unit > 0 ? units[unit - 1].OutputBytes : 0,
                };
            }

            Assert.Equal(kept, profile.Memory[stage].Dropped);
            Assert.Equal(range.Any(unit => policies[unit] is not RecomputePolicy.None), recompute.StagesOf(partition).Contains(stage));
        }
    });

    private static UnitProfile Unit(int size) => new()
    {
        Name = "unit", Forward = size, Backward = 2 * size, InputGradient = size, WeightGradient = size, Optimizer = 1, KeptBytes = 100 * size, SelectiveKeptBytes = 40 * size, SelectiveRecompute = 0.25 * size,
        DeferredBytes = 50 * size, OutputBytes = 7 * size, StateBytes = 10, GradientBytes = 3,
    };
}
