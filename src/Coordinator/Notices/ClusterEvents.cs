using Pipeline.Runs;

namespace Pipeline.Coordinator;

/// <summary>What happens to the nodes of a run, as lines of the run's event log. Owns nothing.</summary>
internal static class ClusterEvents
{
    /// <summary>Writes a notice about nodes; other notices say nothing here.</summary>
    internal static void Write(EventLog events, RunNotice notice)
    {
        switch (notice)
        {
            case RunNotice.NodeJoined { Node: var node }:
                events.Write("node-joined", EventSeverity.Information, EventField.Of("node", node.Id.ToString()), EventField.Of("host", node.HostName));
                break;
            case RunNotice.NodeLost lost:
                events.Write("node-lost", EventSeverity.Warning, EventField.Of("node", lost.Node.Id.ToString()), EventField.Of("message", lost.Reason));
                break;
            case RunNotice.Placed placed:
                events.Write("placed", EventSeverity.Information, EventField.Of("ranks", string.Join(", ", placed.Nodes.Select((node, rank) => $"{rank} on {node.Id}"))));
                break;
            case RunNotice.Recovering recovering:
                events.Write("recovering", EventSeverity.Warning, EventField.Of("generation", recovering.Generation.Number), EventField.Of("message", recovering.Reason),
                    EventField.Of("ranks", string.Join(", ", recovering.Ranks.Select(place => $"{place.Rank} on {place.Node}"))));
                break;
            case RunNotice.Recovered recovered:
                events.Write("recovered", EventSeverity.Information, EventField.Of("generation", recovered.Generation.Number),
                    EventField.Of("placement", recovered.Placement.TotalSeconds), EventField.Of("loading", recovered.Loading.TotalSeconds), EventField.Of("replay", recovered.Replay.TotalSeconds));
                break;
            case RunNotice.Grouped grouped:
                events.Write("replicas-grouped", EventSeverity.Information, EventField.Of("groups", string.Join("; ", grouped.Groups)),
                    EventField.Of("message", grouped.AreSubtrees ? "Each group sends one sum on." : "Not every group is a subtree of the tree over the replicas: such a one sends several sums on, with the same bits."));
                break;
            case RunNotice.ReplicasChanged changed:
                events.Write("replicas-changed", EventSeverity.Warning, EventField.Of("step", changed.Step), EventField.Of("from", changed.From), EventField.Of("to", changed.To),
                    EventField.Of("message", changed.Reason), EventField.Of("summation", changed.IsOtherOrder ? $"from step {changed.Step + 1} on gradients are added up in the tree over {changed.To} replicas" : "the same"));
                break;
            case RunNotice.RolledBack back:
                events.Write("rolled-back", EventSeverity.Warning, EventField.Of("step", back.Step), EventField.Of("generation", back.Generation.Number), EventField.Of("message", back.Reason));
                break;
            case RunNotice.UnitsMoved moved:
                events.Write("units-moved", EventSeverity.Information, EventField.Of("step", moved.Step), EventField.Of("units", string.Join(", ", moved.UnitCounts)));
                break;
        }
    }
}
