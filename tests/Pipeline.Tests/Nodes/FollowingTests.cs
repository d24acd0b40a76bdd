using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>A run is followed in its files: each line once, whoever writes them, and nothing of an earlier start.</summary>
public sealed class FollowingTests : IDisposable
{
    private readonly RunFiles _files = new(Directory.CreateTempSubdirectory("pipeline-follow-").FullName);

    public void Dispose() => Directory.Delete(_files.Folder, recursive: true);

    [Fact]
    public void Steps_events_and_the_end_are_told_once_in_order()
    {
        using (var old = EventLog.Open(_files.Events, TimeProvider.System)) RunRecorder.WriteEnd(old, new RunOutcome(RunEnd.Stopped, 3));
        RunFeed feed = new(_files);
        Assert.Empty(feed.Next());
        using var metrics = MetricsWriter.Create(_files.Metrics);
        using var events = EventLog.Open(_files.Events, TimeProvider.System);
        metrics.Write(Step(4));
        Assert.Equal(4, Assert.IsType<RunNotice.StepCommitted>(Assert.Single(feed.Next())).Step.Step);
        metrics.Write(Step(5));
        RunRecorder.WriteEnd(events, new RunOutcome(RunEnd.Failed, 5, "why") { IsPreparationFailure = true });
        var told = feed.Next().ToArray();
        Assert.IsType<RunNotice.StepCommitted>(told[0]);
        Assert.IsType<RunNotice.Ended>(told[1]);
        Assert.Equal(new RunOutcome(RunEnd.Failed, 5, "why") { IsPreparationFailure = true }, feed.Outcome);
        Assert.Empty(feed.Next());
    }

    [Fact]
    public void A_leader_that_takes_over_goes_on_where_the_follower_is_and_shuts_the_former_one_out()
    {
        using var former = MetricsWriter.Create(_files.Metrics);
        RunFeed feed = new(_files);
        former.Write(Step(1));
        Assert.Single(feed.Next());
        File.AppendAllText(_files.Metrics, "{\"step\":2,\"lo");
        using var next = MetricsWriter.TakeOver(_files.Metrics);
        former.Write(Step(99));
        next.Write(Step(2));
        Assert.Equal(2, Assert.IsType<RunNotice.StepCommitted>(Assert.Single(feed.Next())).Step.Step);
        Assert.Equal([1L, 2L], MetricsReader.Read(_files.Metrics).Select(line => line.Step));
    }

    [Fact]
    public void A_run_is_over_when_its_end_is_the_last_that_was_told()
    {
        Assert.False(RunEnding.IsOver(_files));
        using var events = EventLog.Open(_files.Events, TimeProvider.System);
        events.Write("leader-began", EventSeverity.Information);
        Assert.False(RunEnding.IsOver(_files));
        RunRecorder.WriteEnd(events, new RunOutcome(RunEnd.Completed, 5));
        Assert.True(RunEnding.IsOver(_files));
        events.Write("leader-began", EventSeverity.Information);
        Assert.False(RunEnding.IsOver(_files));
    }

    private static StepMetrics Step(long step) => new(step) { Loss = 1, GradientNorm = 2, LearningRate = 3, Tokens = 4, Seconds = 5, Bubble = 0, Stages = [], Digest = null };
}
