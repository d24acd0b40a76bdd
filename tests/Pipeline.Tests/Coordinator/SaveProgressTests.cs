using Pipeline.Coordinator;
using Xunit;

namespace Pipeline.Tests.Coordinator;

/// <summary>What counts as saved when all go back to before the newest checkpoint.</summary>
public sealed class SaveProgressTests
{
    [Fact]
    public void Checkpoints_after_the_step_that_all_go_back_to_count_no_longer_and_are_made_anew()
    {
        var progress = Saved(2, 4, 6);
        progress.RollBack(2);
        Assert.Equal((2, 2), (progress.LastSaved, progress.LastIssued));
        Assert.Equal([0, 2], progress.Kept(3));
        Assert.False(progress.NeedsRetry);
        Assert.True(progress.Succeeded(progress.Begin(4)));
        Assert.Equal(4, progress.LastSaved);
    }

    [Fact]
    public void A_checkpoint_that_was_being_made_when_all_went_back_to_before_it_counts_neither_as_saved_nor_as_failed()
    {
        var progress = Saved(2, 4);
        var (late, failing) = (progress.Begin(6), progress.Begin(8));
        progress.Committing(late);
        progress.Committing(failing);
        progress.RollBack(4);
        Assert.False(progress.Succeeded(late));
        Assert.Null(progress.Failed(failing, isFinal: true));
        Assert.Equal(4, progress.LastSaved);
        Assert.False(progress.NeedsRetry);
    }

    [Fact]
    public void What_is_kept_is_kept_until_a_checkpoint_that_is_being_made_counts()
    {
        var progress = Saved(2, 4);
        Assert.Equal([0, 2, 4], progress.Kept(2));
        var attempt = progress.Begin(6);
        progress.Committing(attempt);
        Assert.Equal([0, 2, 4], progress.Kept(2));
        Assert.True(progress.Succeeded(attempt));
        Assert.Equal([0, 4, 6], progress.Kept(2));
        SaveProgress resumed = new(1, 10, SaveRetry.Default);
        resumed.Committing(resumed.Begin(12));
        Assert.Equal([10], resumed.Kept(1));
    }

    [Fact]
    public void Saves_of_steps_that_no_rank_is_past_are_taken_back_and_count_neither_as_open_nor_as_failed()
    {
        var progress = Saved(2);
        var (first, second) = (progress.Begin(4), progress.Begin(6));
        Assert.Equal([second], progress.Withdraw(5));
        Assert.Equal([first], progress.Open);
        Assert.Equal(4, progress.LastIssued);
        Assert.False(progress.NeedsRetry);
        Assert.Null(progress.Failed(second, isFinal: false));
    }

    [Fact]
    public void Of_saves_that_were_given_up_only_those_whose_step_was_begun_are_tried_again()
    {
        var progress = Saved(2);
        progress.Begin(4);
        progress.Begin(600);
        progress.Abandon();
        Assert.True(progress.NeedsRetry);
        progress.Withdraw(5);
        Assert.True(progress.NeedsRetry);
        Assert.True(progress.Succeeded(progress.Begin(5)));
        Assert.False(progress.NeedsRetry);
        progress.Begin(600);
        progress.Abandon();
        progress.Withdraw(7);
        Assert.False(progress.NeedsRetry);
    }

    private static SaveProgress Saved(params long[] steps)
    {
        SaveProgress progress = new(1, 0, SaveRetry.Default);
        foreach (var step in steps) Assert.True(progress.Succeeded(progress.Begin(step)));
        return progress;
    }
}
