using Pipeline.Coordinator;
using Pipeline.Operator;
using Pipeline.Protocol;
using Xunit;

namespace Pipeline.Tests.Operator;

/// <summary>What is wrong with a run, at a glance.</summary>
public sealed class RunHealthTests
{
    private readonly Clock _clock = new();
    private readonly RunWatch _watch;

    public RunHealthTests() => _watch = new RunWatch(_clock);

    [Fact]
    public void A_run_that_is_well_has_nothing_to_say_also_while_it_is_paused()
    {
        Assert.Empty(RunHealth.Of("preparing", _watch));
        Commit(40);
        Assert.Empty(RunHealth.Of("running", _watch));
        _clock.Now += TimeSpan.FromHours(1);
        Assert.Empty(RunHealth.Of("paused", _watch));
    }

    [Fact]
    public void Silence_is_told_while_it_lasts_and_long_steps_are_none()
    {
        Commit(40);
        _clock.Now += TimeSpan.FromSeconds(31);
        Assert.Equal(["no step was committed for 31 s"], RunHealth.Of("running", _watch));
        Commit(41);
        Assert.Empty(RunHealth.Of("running", _watch));
        for (var step = 42; step < 70; step++) Commit(step, seconds: 60);
        _clock.Now += TimeSpan.FromMinutes(5);
        Assert.Empty(RunHealth.Of("running", _watch));
    }

    [Fact]
    public void What_happened_lately_is_told_once_a_kind_with_the_worst_first_and_forgotten_in_time()
    {
        Commit(40);
        foreach (var step in new[] { 41, 44 }) _watch.OnNotice(new RunNotice.Warned("straggler", step, $"Rank {step} is slow."));
        _watch.OnNotice(new RunNotice.CheckpointSaved(44, 1, null));
        _watch.OnNotice(new RunNotice.SaveFailed(45, "The disk is full."));
        Commit(46);
        Assert.Equal(["save-failed at step 45: The disk is full.", "straggler (2 times) at step 44: Rank 44 is slow."], RunHealth.Of("running", _watch));
        _clock.Now += RunHealth.Recent + TimeSpan.FromSeconds(1);
        Commit(47);
        Assert.Empty(RunHealth.Of("running", _watch));
    }

    [Fact]
    public void A_recovery_and_a_failed_end_come_first()
    {
        Commit(3);
        _watch.OnNotice(new RunNotice.Recovering(new Generation(2), "Node b is lost.", []));
        Assert.StartsWith("it recovers", RunHealth.Of("recovering", _watch)[0], StringComparison.Ordinal);
        _watch.OnNotice(new RunNotice.Ended(new RunOutcome(RunEnd.Failed, 3, "No node is left.")));
        Assert.Equal("the run has failed: No node is left.", RunHealth.Of("ended", _watch)[0]);
    }

    private void Commit(int step, double seconds = 1) => _watch.OnNotice(new RunNotice.StepCommitted(Steps.Of(step, 3, seconds)));

    private sealed class Clock : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = new(2026, 5, 1, 12, 0, 0, TimeSpan.Zero);

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override DateTimeOffset GetUtcNow() => Now;

        public override long GetTimestamp() => Now.Ticks;
    }
}
