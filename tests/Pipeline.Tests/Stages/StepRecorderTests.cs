using System.Diagnostics;
using Pipeline.Schedules;
using Pipeline.Stages;
using Xunit;

namespace Pipeline.Tests.Stages;

/// <summary>Where the time of a step goes, told by the clock's own numbers.</summary>
public sealed class StepRecorderTests
{
    [Fact]
    public void What_is_left_out_of_a_step_is_not_waiting_either_though_an_action_waits_meanwhile()
    {
        StepRecorder recorder = new(new FlightRecorder());
        recorder.Restart();
        recorder.BeginStep(wantsSpans: false);
        // An action waits for its input; meanwhile the former step is settled and its state hashed for as long as it takes the clock to go on a good deal.
        var asked = Stopwatch.GetTimestamp();
        var since = Stopwatch.GetTimestamp();
        SpinWait.SpinUntil(() => Stopwatch.GetElapsedTime(since) > TimeSpan.FromMilliseconds(20));
        recorder.Exclude(since);
        var started = Stopwatch.GetTimestamp();
        recorder.Record(StageAction.Parse("1F0"), asked, started, started);
        var timing = recorder.EndStep();
        Assert.InRange(timing.WaitSeconds, 0, timing.Seconds);
        Assert.True(timing.OwnSeconds >= -1e-9, $"{timing}");
        Assert.Equal(timing.Seconds, timing.BusySeconds + timing.WaitSeconds + timing.OwnSeconds, 1e-9);
    }
}
