using Pipeline.Cli.Configuration;
using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Protocol.Security;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>
/// <c>train --cluster</c>: submits a run to a cluster that is there already, and follows it in its directory. The run does not need the
/// follower: a signal asks whether to stop the one or to leave the other.
/// </summary>
internal sealed class ClusterTraining(CommandContext context, ClusterSettings cluster, RunFiles files, IRunObserver progress) : IDisposable
{
    private static readonly TimeSpan AskPatience = TimeSpan.FromSeconds(25);

    /// <summary>How long a cluster may be without anybody who answers before the run is given up as lost.</summary>
    private static readonly TimeSpan SilencePatience = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan AskEvery = TimeSpan.FromSeconds(5);
    private readonly RunFollower _follower = new(files, progress);
    private readonly PeerCredentials? _credentials = cluster.Node.Security?.Load(context.Time);
    private readonly string _token = TokenFile.ReadOrCreate(cluster.Node.TokenPath);
    private long _asked = TimeProvider.System.GetTimestamp();
    private long _answered = TimeProvider.System.GetTimestamp();
    private bool _isStopSent;

    /// <summary>Whether the cluster has taken the run.</summary>
    internal bool IsAccepted { get; private set; }

    /// <summary>Runs to the end, or until it is left.</summary>
    /// <param name="submission">The run.</param>
    /// <param name="signal">Cancelled by SIGINT or SIGTERM.</param>
    /// <returns>How the run ended; null where it goes on without us.</returns>
    public async Task<RunOutcome?> RunAsync(RunSubmission submission, CancellationToken signal)
    {
        ControlRequest status = new(_token, ControlCommand.Status);
        await OneCluster.RequireAsync(cluster.Contacts, async (contact, patience) => (await ControlClient.AskAsync(contact, status, patience, _credentials).ConfigureAwait(false))?.Status).ConfigureAwait(false);
        var reply = await AskAsync(new ControlRequest(_token, ControlCommand.Submit, submission)).ConfigureAwait(false)
            ?? throw new RunException($"No node answers at {string.Join(" or ", cluster.Contacts)}. Start one with `pipeline node`, or correct cluster.seed-nodes and cluster.control-port.");
        if (!reply.Done) throw new RunException(reply.Message);
        IsAccepted = true;
        var isLeft = false;
        var outcome = await _follower.FollowAsync(async () =>
        {
            if (signal.IsCancellationRequested && !_isStopSent)
            {
                if (!WantsStop())
                {
                    isLeft = true;
                    return new RunOutcome(RunEnd.Stopped, 0);
                }

                _isStopSent = await AskAsync(new ControlRequest(_token, ControlCommand.Stop)).ConfigureAwait(false) is { Done: true };
            }

            return await SilenceAsync(submission).ConfigureAwait(false);
        }).ConfigureAwait(false);
        return isLeft ? null : outcome;
    }

    public void Dispose() => _credentials?.Dispose();

    /// <summary>Without somebody at a terminal to ask, the run is left to go on.</summary>
    private bool WantsStop()
    {
        if (!context.IsTerminal || Console.IsInputRedirected) return false;
        context.Output.WriteLine();
        context.Output.Write("Stop the run (s), or detach and let it go on (d)? ");
        return Console.ReadLine()?.Trim().StartsWith('s') == true;
    }

    private async Task<RunOutcome?> SilenceAsync(RunSubmission submission)
    {
        if (TimeProvider.System.GetElapsedTime(_asked) < AskEvery) return null;
        _asked = TimeProvider.System.GetTimestamp();
        if (await AskAsync(new ControlRequest(_token, ControlCommand.Status)).ConfigureAwait(false) is { Done: true }) _answered = TimeProvider.System.GetTimestamp();
        return TimeProvider.System.GetElapsedTime(_answered) < SilencePatience
            ? null
            : new RunOutcome(RunEnd.Failed, _follower.LastStep(submission.ResumeFrom),
                $"No node of the cluster has answered for {SilencePatience.TotalSeconds:0} s. If it is gone, go on with: pipeline train --cluster --resume {files.Folder}");
    }

    private async Task<ControlReply?> AskAsync(ControlRequest request)
    {
        foreach (var contact in cluster.Contacts)
        {
            if (await ControlClient.AskAsync(contact, request, AskPatience, _credentials).ConfigureAwait(false) is { } reply) return reply;
        }

        return null;
    }
}
