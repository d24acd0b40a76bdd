using Pipeline.Coordinator;
using Xunit;

namespace Pipeline.Tests.Training;

/// <summary>
/// Losses, norms, weights and moments of every schedule, to the bit those of the unsplit model, while messages are delayed, reordered and
/// repeated. By default a subset that covers every pair of choices; all of them with <c>PIPELINE_TESTS=full</c> (<c>./pipeline.sh test --full</c>).
/// </summary>
[Collection(PipelineCollection.Name)]
public sealed class EveryScheduleTests(PipelineFixture fixture)
{
    private static bool IsFull => string.Equals(Environment.GetEnvironmentVariable("PIPELINE_TESTS"), "full", StringComparison.Ordinal);

    /// <summary>Places in the list of all combinations, with the combination's words.</summary>
    public static TheoryData<int, string> Cases
    {
        get
        {
            TheoryData<int, string> cases = [];
            foreach (var place in IsFull ? Enumerable.Range(0, EverySchedule.All.Count) : EverySchedule.Covering) cases.Add(place, EverySchedule.All[place].ToString());
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task The_bits_are_those_of_the_unsplit_model(int place, string words)
    {
        var one = EverySchedule.All[place];
        Assert.Equal(words, one.ToString());
        var plan = EverySchedule.PlanOf(one);
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan, stages: Disturbance.Of(plan, place));
        Assert.Equal(new RunOutcome(RunEnd.Completed, plan.Steps), outcome);
        TinyRun.AssertEqual(EverySchedule.ReferenceOf(one), notices.Steps);
    }

    [Fact]
    public void The_subset_holds_every_pair_of_choices_that_any_combination_holds()
    {
        static IEnumerable<(string, string)> Pairs(Combination one)
        {
            var words = one.ToString().Split(' ');
            return from first in words from second in words where first != second select (first, second);
        }

        var covering = EverySchedule.Covering.Select(place => EverySchedule.All[place]).ToArray();
        Assert.Equal(EverySchedule.All.SelectMany(Pairs).Distinct().Order(), covering.SelectMany(Pairs).Distinct().Order());
        Assert.InRange(covering.Length, 1, EverySchedule.All.Count / 20);
    }
}
