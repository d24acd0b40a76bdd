using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>Follows in its directory a run that others lead, until it ends or the caller has seen enough.</summary>
/// <param name="files">The run's files.</param>
/// <param name="progress">Told what is read.</param>
internal sealed class RunFollower(RunFiles files, IRunObserver progress)
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    // Begun with the follower: what was there of an earlier start is not news.
    private readonly RunFeed _feed = new(files);

    /// <summary>Reads along.</summary>
    /// <param name="watch">Called between reads; an outcome ends the following.</param>
    public async Task<RunOutcome> FollowAsync(Func<Task<RunOutcome?>> watch)
    {
        while (true)
        {
            foreach (var notice in _feed.Next()) progress.OnNotice(notice);
            if (_feed.Outcome is { } outcome) return outcome;
            if (await watch().ConfigureAwait(false) is { } verdict) return verdict;
            await Task.Delay(Pause).ConfigureAwait(false);
        }
    }

    /// <summary>The last step that the run has committed.</summary>
    public long LastStep(long otherwise) => File.Exists(files.Metrics) ? MetricsReader.Read(files.Metrics).OfType<StepMetrics>().LastOrDefault()?.Step ?? otherwise : otherwise;
}
