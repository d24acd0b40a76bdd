using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Xunit;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Tests.Coordinator;

public sealed class CompressionWatchTests
{
    private static readonly CompressionTrial s_trial = new(10, 8);

    [Fact]
    public void A_trial_has_as_many_steps_without_as_with_and_leaves_the_first_of_each_out()
    {
        Assert.Equal(Enumerable.Range(19, 8), Enumerable.Range(1, 40).Where(step => s_trial.CompressesAt(step) == true));
        Assert.All(Enumerable.Range(1, 18), step => Assert.False(s_trial.CompressesAt(step)));
        Assert.Null(s_trial.CompressesAt(27));
        Assert.Equal([13, 14, 15, 16, 17, 18, 21, 22, 23, 24, 25, 26], Enumerable.Range(1, 40).Where(step => s_trial.Counts(step)));
    }

    [Theory]
    [InlineData(0.100, 0.061, true, "39.0 ms saved for 2.0 ms of work. Compression stays on.")]
    [InlineData(0.100, 0.104, false, "Compression is turned off.")]
    [InlineData(0.100, 0.099, false, "Compression is turned off.")]
    public void It_stays_where_steps_are_shorter_with_it(double without, double with, bool isKept, string sentence)
    {
        var watch = new CompressionWatch(s_trial);
        for (var step = 1; step <= 26; step++)
        {
            Assert.Null(watch.Decide());
            // A hiccup, and slow first steps, say nothing.
            var seconds = step is 14 or 19 ? 5 : s_trial.CompressesAt(step) == true ? with : without;
            watch.Enter([Report(0, step, seconds), Report(1, step, seconds)]);
        }

        var decision = watch.Decide();
        Assert.Equal(isKept, decision!.IsKept);
        Assert.EndsWith(sentence, decision.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_both_halves_nothing_is_compared_and_it_stays()
    {
        var watch = new CompressionWatch(s_trial);
        for (var step = 20; step <= 26; step++) watch.Enter([Report(0, step, 1)]);
        Assert.True(watch.Decide()!.IsKept);
    }

    private static StepCompleted Report(int rank, long step, double seconds)
    {
        var isCompressed = s_trial.CompressesAt(step) == true;
        var timing = new StepTiming(seconds, isCompressed ? 0.052 : 0.050, 0, 0, isCompressed ? 0.011 : 0.050, isCompressed ? 1 << 20 : 4 << 20);
        return new StepCompleted(Generation.First, rank, step, new StepOutcome(1, 1, 1, StepVerdict.Apply, -1), 0.1, timing, 0, [], []);
    }
}
