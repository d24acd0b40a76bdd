using Pipeline.Protocol;
using static Pipeline.Protocol.MembershipProtocol;

namespace Pipeline.Nodes;

/// <summary>
/// Decides which members of a cluster may take part in its runs: those that the leader understands, that have its shared settings and a name of their
/// own, and whose stages would compute the bits that those of the others compute. A node without the role of a stage holds none, so that its processor
/// does not matter. Knows whom it has let in; no actor.
/// </summary>
/// <param name="leader">The node that decides.</param>
internal sealed class NodeAdmission(NodeDescribed leader)
{
    // The first node that may hold stages: what all others that may are held against.
    private NodeDescribed? _computing;

    /// <summary>Why a node may not take part, as sentences for people; null if it may.</summary>
    /// <param name="node">The node.</param>
    /// <param name="living">The nodes that take part and answer.</param>
    internal string? RefusalOf(NodeDescribed node, IEnumerable<NodeDescribed> living)
    {
        var name = $"{node.Name} (process {node.ProcessId} on {node.Info.HostName})";
        IEnumerable<string> faults = [.. node.Platform.SpeechDifferences(leader.Platform, name, "the leader"), .. SettingFaults(node, name), .. NameFaults(node, living)];
        if (node.Info.Roles.Contains(NodeInfo.StageRole))
        {
            if (_computing is { } first && first.Info.Id != node.Info.Id) faults = faults.Concat(node.Platform.BitDifferences(first.Platform, name, $"node {first.Name}"));
            else if (!faults.Any()) _computing = node;
        }

        var sentence = string.Join(' ', faults);
        return sentence.Length == 0 ? null : sentence;
    }

    private IEnumerable<string> SettingFaults(NodeDescribed node, string name)
    {
        var own = node.Shared.ToLookup(setting => setting.Key, setting => setting.Value, StringComparer.Ordinal);
        var leaders = leader.Shared.ToLookup(setting => setting.Key, setting => setting.Value, StringComparer.Ordinal);
        return own.Select(group => group.Key).Union(leaders.Select(group => group.Key), StringComparer.Ordinal)
            .Select(key => (Key: key, Own: own[key].FirstOrDefault("nothing"), Leaders: leaders[key].FirstOrDefault("nothing")))
            .Where(setting => setting.Own != setting.Leaders)
            .Select(setting => $"Node {name} differs from the leader in {setting.Key}: {setting.Own} there, {setting.Leaders} at the leader. Give every node the same value.");
    }

    private static IEnumerable<string> NameFaults(NodeDescribed node, IEnumerable<NodeDescribed> living) => living
        .Where(other => other.Name == node.Name && other.Info.Id != node.Info.Id)
        .Select(other => $"Another node of the cluster is called {other.Name}: process {other.ProcessId} on {other.Info.HostName}. Stop that one if this was started twice, or name this one with --name.");
}
