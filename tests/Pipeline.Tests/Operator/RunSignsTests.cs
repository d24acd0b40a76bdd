using Pipeline.Coordinator;
using Pipeline.Operator;
using Pipeline.Protocol;
using Xunit;

namespace Pipeline.Tests.Operator;

/// <summary>What the watchdog sees in a run, and what it does not.</summary>
public sealed class RunSignsTests
{
    private static readonly WatchdogSettings Settings = new(10, 60, 1.5, 1 << 30, null);
    private readonly RunSigns _signs = new(Settings);
    private long _step;
    private TimeSpan _now;

    [Fact]
    public void A_run_that_learns_gives_no_sign()
    {
        for (var step = 0; step < 500; step++) Assert.Empty(Step(5 * Math.Exp(-step / 200.0) + 0.05 * Math.Sin(step * 1.7)));
        Assert.Empty(_signs.Look(_now, long.MaxValue));
    }

    [Fact]
    public void A_loss_that_leaps_is_a_spike_once()
    {
        for (var step = 0; step < 60; step++) Step(4 + 0.01 * Math.Sin(step));
        Assert.Equal("loss-spike", Assert.Single(Step(9)).Kind);
        Assert.Empty(Step(9.1));
        Step(4);
        Assert.Equal("loss-spike", Assert.Single(Step(9)).Kind);
    }

    [Fact]
    public void Silence_is_a_stall_but_a_pause_is_not()
    {
        Step(4);
        Assert.Empty(_signs.Look(_now + TimeSpan.FromSeconds(59), null));
        Assert.Equal("stalled", Assert.Single(_signs.Look(_now + TimeSpan.FromSeconds(61), null)).Kind);
        _signs.Read(new RunNotice.Paused(1), _now);
        Assert.Empty(_signs.Look(_now + TimeSpan.FromSeconds(600), null));
        _signs.Read(new RunNotice.Resumed(1), _now + TimeSpan.FromSeconds(600));
        Assert.Empty(_signs.Look(_now + TimeSpan.FromSeconds(620), null));
        Assert.Single(_signs.Look(_now + TimeSpan.FromSeconds(661), null));
    }

    [Fact]
    public void Long_steps_are_no_stall()
    {
        for (var step = 0; step < 5; step++) Step(4, seconds: 30);
        Assert.Empty(_signs.Look(_now + TimeSpan.FromSeconds(299), null));
        Assert.Single(_signs.Look(_now + TimeSpan.FromSeconds(301), null));
    }

    [Fact]
    public void A_rank_that_computes_longer_than_the_others_is_a_straggler_once()
    {
        var signs = Enumerable.Range(0, 80).SelectMany(_ => Step(4, busy: [0.5, 0.95, 0.5])).ToArray();
        Assert.Equal("straggler", Assert.Single(signs).Kind);
        Assert.Contains("Rank 1", signs[0].Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Steps_that_become_slow_are_told()
    {
        for (var step = 0; step < 100; step++) Assert.Empty(Step(4));
        Assert.Equal("throughput-fell", Assert.Single(Enumerable.Range(0, 12).SelectMany(_ => Step(4, seconds: 2))).Kind);
    }

    [Fact]
    public void A_disk_that_is_nearly_full_is_told() => Assert.Equal("disk-nearly-full", Assert.Single(_signs.Look(_now, 1 << 20)).Kind);

    [Fact]
    public void Steps_without_a_loss_are_no_spike_and_hide_none()
    {
        for (var step = 0; step < 60; step++) Assert.Empty(Step(step % 5 == 0 ? double.NaN : 4 + 0.01 * Math.Sin(step)));
        Assert.Equal("loss-spike", Assert.Single(Step(9)).Kind);
    }

    private IReadOnlyList<RunNotice.Warned> Step(double loss, double seconds = 1, double[]? busy = null)
    {
        _now += TimeSpan.FromSeconds(seconds);
        return _signs.Read(new RunNotice.StepCommitted(Steps.Of(++_step, loss, seconds, busy ?? [0.8, 0.8, 0.8])), _now);
    }
}

/// <summary>Steps as a run would tell them.</summary>
internal static class Steps
{
    internal static StepSummary Of(long step, double loss, double seconds = 1, double[]? busy = null) => new(
        step, loss, 1, 1e-3, 1000, seconds, 0.2,
        [.. (busy ?? [0.8, 0.8]).Select((share, rank) => new RankSummary(rank, new StepTiming(seconds, share * seconds, (1 - share) * seconds), 0, []))], []) { Generation = 1 };
}
