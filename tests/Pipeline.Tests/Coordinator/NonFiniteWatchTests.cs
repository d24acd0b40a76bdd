using Pipeline.Coordinator;
using Xunit;

namespace Pipeline.Tests.Coordinator;

/// <summary>What follows steps that are not finite, decided from nothing but their order.</summary>
public sealed class NonFiniteWatchTests
{
    [Fact]
    public void One_is_passed_over_and_a_second_in_a_row_is_rolled_back_and_then_the_end()
    {
        NonFiniteWatch watch = new(NonFinitePolicy.Default, 0);
        Assert.Equal([NonFiniteVerdict.GoOn, NonFiniteVerdict.Skipped, NonFiniteVerdict.RollBack], Read(watch, "1 2! 3!"));
        Assert.Equal(0, watch.Target([0, 2]));
        watch.RestartFrom(0);
        Assert.Equal([NonFiniteVerdict.GoOn, NonFiniteVerdict.GoOn, NonFiniteVerdict.End], Read(watch, "1 2! 3!"));
        Assert.Contains("run.skipped-in-row", watch.Ending(new NonFiniteStep(3, 1)), StringComparison.Ordinal);
    }

    [Fact]
    public void A_step_between_them_begins_a_new_row()
    {
        NonFiniteWatch watch = new(NonFinitePolicy.Default, 0);
        Assert.DoesNotContain(NonFiniteVerdict.RollBack, Read(watch, "1! 2 3! 4 5! 6"));
    }

    [Fact]
    public void What_is_reported_again_says_nothing()
    {
        NonFiniteWatch watch = new(NonFinitePolicy.Default, 0);
        Assert.Equal([NonFiniteVerdict.Skipped, NonFiniteVerdict.GoOn, NonFiniteVerdict.GoOn], Read(watch, "1! 1! 1!"));
    }

    [Fact]
    public void A_row_goes_on_over_the_end_of_a_process()
    {
        NonFiniteWatch watch = new(NonFinitePolicy.Default, 7, skippedInRow: 1);
        Assert.Equal([NonFiniteVerdict.RollBack], Read(watch, "8!"));
        Assert.Equal(6, watch.Target([0, 6, 7]));
    }

    [Fact]
    public void A_successor_counts_on_where_its_predecessor_was()
    {
        NonFiniteWatch first = new(NonFinitePolicy.Default, 0);
        Assert.Equal(NonFiniteVerdict.RollBack, Read(first, "1 2! 3!")[^1]);
        Assert.Equal([new CountedFailure(new NonFiniteStep(3, 1), 1)], first.Failures);
        NonFiniteWatch second = new(NonFinitePolicy.Default, 2, skippedInRow: 1, first.Failures);
        Assert.Equal(NonFiniteVerdict.End, Read(second, "3!")[^1]);
    }

    [Fact]
    public void Another_failure_of_the_same_step_is_not_the_same_failure()
    {
        NonFiniteWatch watch = new(new NonFinitePolicy(0, 2), 0);
        Assert.Equal(NonFiniteVerdict.RollBack, watch.Read(1, new NonFiniteStep(1, 0)));
        watch.RestartFrom(0);
        Assert.Equal(NonFiniteVerdict.RollBack, watch.Read(1, new NonFiniteStep(1, 1)));
        watch.RestartFrom(0);
        Assert.Equal(NonFiniteVerdict.End, watch.Read(1, new NonFiniteStep(1, 0)));
    }

    [Fact]
    public void Where_no_state_before_the_row_is_kept_the_oldest_has_to_do()
    {
        NonFiniteWatch watch = new(NonFinitePolicy.Default, 3);
        Read(watch, "4! 5!");
        Assert.Equal(4, watch.Target([4]));
    }

    private static NonFiniteVerdict[] Read(NonFiniteWatch watch, string steps) =>
        [.. steps.Split(' ').Select(step => long.Parse(step.TrimEnd('!'), System.Globalization.CultureInfo.InvariantCulture) is var number && step.EndsWith('!') ? watch.Read(number, new NonFiniteStep(number, 1)) : watch.Read(number, null))];
}
