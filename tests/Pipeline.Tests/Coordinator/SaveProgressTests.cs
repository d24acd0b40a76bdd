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
    public void Nobody_goes_back_to_what_a_checkpoint_that_is_being_made_has_pruned()
    {
        var progress = Saved(2, 4);
        Assert.Equal([0, 2, 4], progress.Kept(2));
        progress.Committing(progress.Begin(6));
        Assert.Equal([0, 4], progress.Kept(2));
        Assert.Equal([0], progress.Kept(1));
        SaveProgress resumed = new(1, 10, SaveRetry.Default);
        resumed.Committing(resumed.Begin(12));
        Assert.Equal([10], resumed.Kept(1));
    }

    private static SaveProgress Saved(params long[] steps)
    {
        SaveProgress progress = new(1, 0, SaveRetry.Default);
        foreach (var step in steps) Assert.True(progress.Succeeded(progress.Begin(step)));
        return progress;
    }
}
