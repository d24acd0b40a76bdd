using Pipeline.Runs;

namespace Pipeline.Coordinator;

/// <summary>What happens to the nodes of a run, as lines of <c>events.jsonl</c>.</summary>
internal static class ClusterEvents
{
    internal static void Write(EventLog events, RunNotice notice)
    {
        switch (notice)
        {
            case RunNotice.NodeJoined { Node: var node }:
                events.Write("node-joined", EventSeverity.Information, EventField.Of("node", node.Id.ToString()), EventField.Of("host", node.HostName),
                    EventField.Of("roles", string.Join('+', node.Roles)), EventField.Of("device", node.Device), EventField.Of("memory", node.MemoryByteCount));
                break;
            case RunNotice.NodeLost lost:
                events.Write("node-lost", EventSeverity.Warning, EventField.Of("node", lost.Node.Id.ToString()), EventField.Of("reason", lost.Reason));
                break;
            case RunNotice.Placed placed:
                events.Write("placed", EventSeverity.Information,
                    EventField.Of("ranks", string.Join(' ', placed.Nodes.Select(node => node.Id))), EventField.Of("copies", string.Join(' ', placed.Holders.Select(holder => holder?.ToString() ?? "-"))));
                break;
            case RunNotice.Recovering recovering:
                events.Write("recovering", EventSeverity.Warning, EventField.Of("generation", recovering.Generation.Number), EventField.Of("reason", recovering.Reason),
                    EventField.Of("ranks", string.Join(' ', recovering.Ranks.Select(rank => $"{rank.Rank}@{rank.Node}"))));
                break;
            case RunNotice.Recovered recovered:
                events.Write("recovered", EventSeverity.Information, EventField.Of("generation", recovered.Generation.Number),
                    EventField.Of("placement", recovered.Placement.TotalSeconds), EventField.Of("loading", recovered.Loading.TotalSeconds), EventField.Of("replay", recovered.Replay.TotalSeconds));
                break;
            case RunNotice.UnitsMoved moved:
                events.Write("units-moved", EventSeverity.Information, EventField.Of("step", moved.Step), EventField.Of("units", string.Join(' ', moved.UnitCounts)));
                break;
        }
    }
}
