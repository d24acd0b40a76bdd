using Pipeline.Cli.Configuration;
using Pipeline.Nodes;
using Pipeline.Protocol.Security;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>Asks a cluster who is there, and has its nodes measured, before a run is planned for it. Takes no part in it.</summary>
/// <param name="cluster">Where it takes commands.</param>
/// <param name="time">Clock and timers.</param>
internal sealed class ClusterNodes(ClusterSettings cluster, TimeProvider time) : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(25);
    private static readonly TimeSpan s_pollEvery = TimeSpan.FromSeconds(1);

    // Between the loss of a leader and the next one.
    private static readonly TimeSpan s_silencePatience = TimeSpan.FromSeconds(60);

    private readonly PeerCredentials? _credentials = cluster.Node.Security?.Load(time);
    private readonly string _token = TokenFile.ReadOrCreate(cluster.Node.TokenPath);

    /// <summary>Its nodes, with what they can do.</summary>
    /// <exception cref="RunException">Nobody answers, or the answer is a refusal.</exception>
    public static async Task<IReadOnlyList<NodeStatus>> AskAsync(ClusterSettings cluster, TimeProvider time)
    {
        using ClusterNodes nodes = new(cluster, time);
        return await nodes.AskAsync().ConfigureAwait(false);
    }

    /// <inheritdoc cref="AskAsync(ClusterSettings, TimeProvider)"/>
    public async Task<IReadOnlyList<NodeStatus>> AskAsync()
    {
        var reply = await TryAsync(new ControlRequest(_token, ControlCommand.Status)).ConfigureAwait(false) ?? throw new RunException(
            $"No node answers at {string.Join(" or ", cluster.Contacts)}, so that nothing is known of the cluster. Start one with `pipeline node`, correct cluster.seed-nodes and cluster.control-port, or do without the cluster.");
        return reply is { Done: true, Status: { } status } ? status.Nodes : throw new RunException(reply.Message);
    }

    /// <summary>Has nodes measured, and waits until each has ended, however.</summary>
    /// <param name="request">What is measured where.</param>
    /// <param name="changed">Told whenever a node gets further.</param>
    /// <param name="cancellation">Ends the waiting; the nodes go on.</param>
    /// <exception cref="RunException">The cluster refuses, or nobody answers any more.</exception>
    public async Task<IReadOnlyList<ProfiledStatus>> MeasureAsync(ProfileRequest request, Action<ProfiledStatus> changed, CancellationToken cancellation)
    {
        Dictionary<string, string> phases = [];
        var answered = time.GetTimestamp();
        while (true)
        {
            var reply = await TryAsync(new ControlRequest(_token, ControlCommand.Profile, Profile: request)).ConfigureAwait(false);
            if (reply is { Profiled: { } standing })
            {
                // A leader that has just been replaced knows nothing of what the former one had measured, and begins anew.
                if (!reply.Done) throw new RunException(reply.Message);
                foreach (var node in standing.Where(node => phases.GetValueOrDefault(node.Address) != node.Phase)) changed(node);
                phases = standing.ToDictionary(node => node.Address, node => node.Phase);
                if (standing.All(node => node.Phase is "measured" or "failed")) return standing;
                answered = time.GetTimestamp();
            }
            else if (time.GetElapsedTime(answered) > s_silencePatience)
            {
                throw new RunException(reply?.Message ?? $"No node of the cluster has answered for {s_silencePatience.TotalSeconds:0} s.");
            }

            await Task.Delay(s_pollEvery, time, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>What a node has measured.</summary>
    /// <exception cref="RunException">Nothing is there any more.</exception>
    public async Task<Protocol.MeasuredUnits> FetchAsync(string id, string address) =>
        await TryAsync(new ControlRequest(_token, ControlCommand.FetchProfile, Node: address, Id: id)).ConfigureAwait(false) is { } reply
            ? reply.Costs ?? throw new RunException(reply.Message)
            : throw new RunException("No node of the cluster answers any more, so that what was measured is lost. Measure again.");

    public void Dispose() => _credentials?.Dispose();

    private async Task<ControlReply?> TryAsync(ControlRequest request)
    {
        foreach (var contact in cluster.Contacts)
        {
            if (await ControlClient.AskAsync(contact, request, s_patience, _credentials).ConfigureAwait(false) is { } reply) return reply;
        }

        return null;
    }
}
