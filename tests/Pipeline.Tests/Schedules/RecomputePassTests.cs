using CsCheck;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class RecomputePassTests
{
    [Fact]
    public void Every_backward_of_the_named_stages_gets_one_recompute_right_before_it_and_the_schedule_stays_valid() =>
        Gen.Select(ScheduleSamples.Training(4, 6), Gen.Int[0, 255]).Sample((schedule, mask) =>
        {
            var stages = Enumerable.Range(0, schedule.StageCount).Where(stage => (mask >> (stage % 8) & 1) == 1).ToArray();
            var recomputing = RecomputePass.Apply(schedule, stages);
            Assert.Empty(ScheduleValidator.Validate(recomputing));
            foreach (var row in recomputing.Actions)
                for (var position = 0; position < row.Length; position++)
                {
                    if (row[position].Kind.MakesInputGradient())
                        Assert.Equal(stages.Contains(row[position].Stage), position > 0 && row[position - 1] == row[position] with { Kind = ActionKind.Recompute });
                }

            var without = recomputing.WithActions([.. recomputing.Actions.Select(row => row.RemoveAll(action => action.Kind is ActionKind.Recompute))]);
            Assert.Equal(schedule, without);
        });

    [Fact]
    public void Stages_that_drop_nothing_lose_their_recomputes_and_nothing_else() =>
        Gen.Select(ScheduleSamples.Training(4, 6), Gen.Int[0, 255]).Sample((schedule, mask) =>
        {
            var stages = Enumerable.Range(0, schedule.StageCount).Where(stage => (mask >> (stage % 8) & 1) == 1).ToArray();
            Assert.Equal(RecomputePass.Apply(schedule, stages), RecomputePass.Only(RecomputePass.Apply(schedule, Enumerable.Range(0, schedule.StageCount)), stages));
        });

    [Fact]
    public void A_schedule_that_recomputes_already_is_refused()
    {
        var once = RecomputePass.Apply(ScheduleCatalog.Generate("1f1b", 2, 2), [0]);
        Assert.Contains("0R0", Assert.Throws<ScheduleException>(() => RecomputePass.Apply(once, [0, 1])).Message, StringComparison.Ordinal);
        Assert.NotEqual(once, RecomputePass.Apply(once, [1]));
    }
}
