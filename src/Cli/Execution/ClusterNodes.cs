using Pipeline.Cli.Configuration;
using Pipeline.Nodes;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>Asks a cluster who is there, before a run is planned for it.</summary>
internal static class ClusterNodes
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(25);

    /// <summary>Its nodes, with what they can do.</summary>
    /// <exception cref="RunException">Nobody answers, or the answer is a refusal.</exception>
    public static async Task<IReadOnlyList<NodeStatus>> AskAsync(ClusterSettings cluster, TimeProvider time)
    {
        using var credentials = cluster.Node.Security?.Load(time);
        ControlRequest request = new(TokenFile.ReadOrCreate(cluster.Node.TokenPath), ControlCommand.Status);
        foreach (var contact in cluster.Contacts)
        {
            if (await ControlClient.AskAsync(contact, request, s_patience, credentials).ConfigureAwait(false) is not { } reply) continue;
            return reply is { Done: true, Status: { } status } ? status.Nodes : throw new RunException(reply.Message);
        }

        throw new RunException(
            $"No node answers at {string.Join(" or ", cluster.Contacts)}, so that nothing is known of what plan = auto should plan for. Start one with `pipeline node`, correct cluster.seed-nodes and cluster.control-port, or set plan = none.");
    }
}
