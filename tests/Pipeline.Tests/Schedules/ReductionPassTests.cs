using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

/// <summary>Where the reduction over replicas stands in a schedule.</summary>
public sealed class ReductionPassTests
{
    public static TheoryData<string> Names => new(ScheduleCatalog.All.Select(generator => generator.Name));

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_schedule_reduces_between_its_micro_batches_and_its_norms_and_stays_valid(string name)
    {
        var bare = StepEndPass.Apply(ScheduleCatalog.Generate(name, 2, 4), []);
        var (whole, shared) = (ReductionPass.Apply(bare), ReductionPass.Apply(bare, sharesOptimizer: true));
        ScheduleValidator.ThrowIfInvalid(whole);
        ScheduleValidator.ThrowIfInvalid(shared);
        Assert.True(whole.Reduces && shared.Reduces);
        Assert.False(bare.Reduces || whole.SharesOptimizer);
        Assert.True(shared.SharesOptimizer);
        Assert.Equal(whole, ScheduleText.Parse(ScheduleText.Format(whole)));
        Assert.Equal(shared, ScheduleText.Parse(ScheduleText.Format(shared)));
        foreach (var (row, kinds) in shared.Actions.Select(row => (row, row.Select(action => action.Kind).ToList())))
        {
            Assert.Equal(row.Length - shared.StagesOf(0).Length, kinds.IndexOf(ActionKind.WeightGather));
            Assert.DoesNotContain(ActionKind.AllGather, kinds);
        }

        Assert.Throws<InvalidOperationException>(() => ReductionPass.Apply(whole));
    }

    [Fact]
    public void A_stage_without_its_part_of_the_reduction_is_named()
    {
        var whole = ReductionPass.Apply(StepEndPass.Apply(ScheduleCatalog.Generate("1f1b", 2, 4), []));
        var broken = whole.WithActions(whole.Actions.SetItem(1, whole.Actions[1].Remove(StageAction.StepLevel(1, ActionKind.AllGather))));
        Assert.Contains("1G", Assert.Throws<ScheduleException>(() => ScheduleValidator.ThrowIfInvalid(broken)).Message, StringComparison.Ordinal);
    }
}
