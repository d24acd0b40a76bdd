using Pipeline.Cli.Configuration;
using Pipeline.Nodes;
using Pipeline.Schedules;

namespace Pipeline.Cli.Planning;

/// <summary>
/// What is known of the nodes of a cluster: the costs of units on those that were measured, and of the others a speed. One profile is the plan's, that of the
/// first node that was measured; what is not measured is estimated beside that node, by the speed of a product that each says of itself. Pure.
/// </summary>
/// <param name="plan">The plan's profile, and where it is from.</param>
/// <param name="planGigaFlops">The speed of a product where the plan's profile is from; 0 where that is not known.</param>
/// <param name="measured">By address of a node its own profile.</param>
/// <param name="microBatchSize">Samples of a micro-batch, for which speeds are compared.</param>
internal sealed class ClusterCosts(StoredProfile plan, double planGigaFlops, IReadOnlyDictionary<string, StoredProfile> measured, int microBatchSize)
{
    /// <summary>The plan's profile.</summary>
    public ModelProfile Plan => plan.Profile;

    /// <summary>What there is for nodes as they are now.</summary>
    /// <param name="settings">The run's, and with them where profiles are kept.</param>
    /// <param name="nodes">As the cluster describes them.</param>
    /// <param name="gigaFlopsHere">What a product reaches on this machine, in fp32.</param>
    /// <param name="flopsHere">The same in operations a second and the run's arithmetic, for estimates.</param>
    /// <exception cref="ScheduleException">A named profile cannot be read, or belongs to another model or arithmetic.</exception>
    public static ClusterCosts Of(RunSettings settings, IReadOnlyList<NodeStatus> nodes, double gigaFlopsHere, double flopsHere)
    {
        Dictionary<string, StoredProfile> measured = [];
        foreach (var node in nodes)
        {
            // One value for all that share it, by which they are known to be alike.
            if (ProfileStore.OfNode(settings, node.Host, node.Name) is { } own)
                measured[node.Address] = measured.Values.FirstOrDefault(known => (known.Machine, known.Node, known.MeasuredAt) == (own.Machine, own.Node, own.MeasuredAt)) ?? own;
        }

        var first = nodes.FirstOrDefault(node => measured.ContainsKey(node.Address));
        var plan = first is not null ? measured[first.Address] : ProfileStore.Own(settings) ?? new StoredProfile(Environment.MachineName, "", default, gigaFlopsHere, UnitEstimates.Of(settings, flopsHere));
        // What was measured beside the profile tells more than what that machine says today of itself; without either, other nodes count as alike.
        var gigaFlops = plan.GigaFlops > 0 ? plan.GigaFlops : first is { Speed: > 0 } ? first.Speed : plan.Machine == Environment.MachineName ? gigaFlopsHere : 0;
        return new ClusterCosts(plan, gigaFlops, measured, settings.Step.MicroBatchSize);
    }

    /// <summary>The costs measured on a node; null where none were.</summary>
    public ModelProfile? MeasuredOn(NodeStatus node) => measured.GetValueOrDefault(node.Address)?.Profile;

    /// <summary>How fast a node is beside the plan's profile.</summary>
    public double SpeedOf(NodeStatus node) =>
        MeasuredOn(node) is { } own ? own.SpeedBeside(Plan, microBatchSize) : node.Speed > 0 && planGigaFlops > 0 ? node.Speed / planGigaFlops : 1;

    /// <summary>How a node's speed is known, as a few words.</summary>
    public string Describe(NodeStatus node) => FormattableString.Invariant(
        $"{node.Name} {(MeasuredOn(node) is not null ? "measured" : node.Speed > 0 && planGigaFlops > 0 ? "estimated by the speed that it says" : "not known, taken as alike")} ({SpeedOf(node):0.00})");
}
