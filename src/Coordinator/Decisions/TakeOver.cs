using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>What a new coordinator makes of its predecessor's journal and of what the nodes report. Pure.</summary>
/// <param name="Generation">Its own first generation: above everything that it has heard of.</param>
/// <param name="Adopted">Rank → node, of the ranks that go on where they are.</param>
/// <param name="Names">Rank → name of its actor there.</param>
/// <param name="Lost">Ranks whose state is gone.</param>
/// <param name="GrantedStep">The last step that any adopted rank was granted.</param>
/// <param name="CompletedSteps">By rank, the last step that it has completed; the protected one for lost ranks.</param>
/// <param name="ProtectedStep">What the adopted ranks have kept reaches back to the end of this step, or less far.</param>
/// <param name="IsEnded">Whether a rank has been told that its last step was the run's last.</param>
internal sealed record TakeOver(
    Generation Generation,
    IReadOnlyDictionary<int, NodeId> Adopted,
    IReadOnlyDictionary<int, string> Names,
    IReadOnlyList<int> Lost,
    long GrantedStep,
    IReadOnlyList<long> CompletedSteps,
    long ProtectedStep,
    bool IsEnded)
{
    /// <summary>Decides. A rank that two nodes report is taken from the one with the higher generation.</summary>
    internal static TakeOver For(JournalEntry entry, IEnumerable<NodeProtocol.HostedReport> reports, int rankCount)
    {
        var hosted = reports.SelectMany(report => report.Stages.Select(stage => (report.Node, Stage: stage))).ToArray();
        var generation = hosted.Select(pair => pair.Stage.Generation).Append(entry.Generation).Max();
        var adopted = hosted
            // Who has not come to where all ranks were last begun anew was left behind: what leads there nobody keeps.
            .Where(pair => pair.Stage.PartitionedIn == entry.PartitionedIn && (uint)pair.Stage.Rank < (uint)rankCount && pair.Stage.Step >= entry.Base.Step)
            .GroupBy(pair => pair.Stage.Rank)
            .Select(same => same.OrderByDescending(pair => pair.Stage.Generation).ThenBy(pair => pair.Node).First())
            .ToDictionary(pair => pair.Stage.Rank);
        return new TakeOver(
            generation.Next(),
            adopted.ToDictionary(pair => pair.Key, pair => pair.Value.Node),
            adopted.ToDictionary(pair => pair.Key, pair => pair.Value.Stage.Name),
            [.. Enumerable.Range(0, rankCount).Where(rank => !adopted.ContainsKey(rank))],
            adopted.Values.Select(pair => pair.Stage.GrantedStep).DefaultIfEmpty(0).Max(),
            [.. Enumerable.Range(0, rankCount).Select(rank => adopted.TryGetValue(rank, out var pair) ? pair.Stage.Step : entry.ProtectedStep)],
            adopted.Values.Select(pair => pair.Stage.ProtectedStep).Append(entry.ProtectedStep).Max(),
            adopted.Values.Any(pair => pair.Stage.IsEnded));
    }
}
