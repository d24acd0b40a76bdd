using Pipeline.Protocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Stages;

/// <summary>Which of the copies that a run starts from a rank has need of. Pure.</summary>
internal static class StartingCopies
{
    /// <summary>
    /// Those of its own replica's ranks, where they are all among them: these hold what the rank may have to load, whatever units it held before.
    /// Where replicas share the optimizer's state out, or did when there were others of them, a tensor may lie with any of them.
    /// </summary>
    internal static IReadOnlyList<CopySource> Of(AssignStage assignment)
    {
        var copies = assignment.Start.Copies;
        // Copies of another number of replicas may be of some that shared the state out.
        if (copies.Count <= 1 || copies.DistinctBy(source => source.Copy.Rank).Count() != assignment.Layout.Ranks.Count) return copies;
        var mesh = ReplicaMesh.Of(assignment.Layout);
        if (mesh.First.Schedule.SharesOptimizer) return copies;
        var replica = mesh.ReplicaOf(assignment.Rank);
        CopySource[] own = [.. copies.Where(source => mesh.ReplicaOf(source.Copy.Rank) == replica)];
        return own.DistinctBy(source => source.Copy.Rank).Count() == mesh.StagesOf(assignment.Rank).RankCount ? own : copies;
    }
}
