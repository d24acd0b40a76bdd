using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>
/// <c>train --processes N</c>: starts the nodes, submits the run, follows it in its directory, and passes a wish to stop on. It takes no
/// part in the training: whichever node dies, the others go on.
/// </summary>
internal sealed class ProcessesTraining(CommandContext context, RunFiles files, IRunObserver progress, IReadOnlyList<string> nodeSettings)
{
    // Far longer than a successor needs on a machine that is not overloaded: to say that a run is over which goes on elsewhere is worse than to wait.
    private static readonly TimeSpan TakeOverPatience = TimeSpan.FromSeconds(90);
    private readonly RunFollower _follower = new(files, progress);
    private bool _isStopSent;
    private long? _alone;

    /// <summary>Runs to the end.</summary>
    /// <param name="submission">The run; as many processes as it waits for are started.</param>
    /// <param name="stop">Asks for its end after the step under way.</param>
    /// <exception cref="RunException">The processes did not find each other.</exception>
    public async Task<RunOutcome> RunAsync(RunSubmission submission, CancellationToken stop)
    {
        var cluster = await LocalCluster.StartAsync(ThisProgram.Words, submission.NodeCount, files.Logs, nodeSettings, stop).ConfigureAwait(false);
        await using (cluster.ConfigureAwait(false))
        {
            context.Output.WriteLine($"nodes    {string.Join(", ", cluster.Nodes.Select(node => $"{node.Name} (pid {node.ProcessId})"))}");
            submission = submission with { NodeCount = cluster.Living.Count() };
            if (await SubmitAsync(cluster, submission).ConfigureAwait(false) is { } refusal) return new RunOutcome(RunEnd.Failed, submission.ResumeFrom, refusal) { IsPreparationFailure = true };
            return await _follower.FollowAsync(() => WatchAsync(cluster, submission, stop)).ConfigureAwait(false);
        }
    }

    private static async Task<string?> SubmitAsync(LocalCluster cluster, RunSubmission submission)
    {
        var reply = await cluster.AskAsync(token => new ControlRequest(token, ControlCommand.Submit, submission)).ConfigureAwait(false);
        return reply is null ? "None of the nodes answers; their logs say why." : reply.Done ? null : reply.Message;
    }

    private async Task<RunOutcome?> WatchAsync(LocalCluster cluster, RunSubmission submission, CancellationToken stop)
    {
        foreach (var ended in cluster.NewlyEnded()) context.Output.WriteLine($"{ended.Name} (pid {ended.ProcessId}) is gone, exit code {ended.ExitCode}");
        if (!cluster.Living.Any() && await IsGoneAsync().ConfigureAwait(false))
            return new RunOutcome(RunEnd.Failed, _follower.LastStep(submission.ResumeFrom), $"All processes of the run are gone. Go on with: pipeline train --resume {files.Folder}");
        if (stop.IsCancellationRequested && !_isStopSent)
        {
            _isStopSent = (await cluster.AskAsync(token => new ControlRequest(token, ControlCommand.Stop)).ConfigureAwait(false)
                ?? await RunEndpoint.AskAsync(files, ControlCommand.Stop).ConfigureAwait(false)) is { Done: true };
        }

        return null;
    }

    /// <summary>Whether nobody leads the run either that has joined from elsewhere; whoever takes it over needs some seconds.</summary>
    private async Task<bool> IsGoneAsync()
    {
        if (await RunEndpoint.AskAsync(files, ControlCommand.Status).ConfigureAwait(false) is not null)
        {
            _alone = null;
            return false;
        }

        _alone ??= TimeProvider.System.GetTimestamp();
        return TimeProvider.System.GetElapsedTime(_alone.Value) > TakeOverPatience;
    }
}
