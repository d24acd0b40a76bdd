using Pipeline.Protocol;
using Pipeline.Reduction.Topologies;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>What the replica of a rank computes of a step: its stages and schedule, and everybody's micro-batches. A value.</summary>
/// <param name="Index">Index of the replica, from 0; for a reducer, which computes none, the number of replicas.</param>
/// <param name="Mesh">All replicas, and how ranks are numbered.</param>
/// <param name="Own">Its stages and actions; for a reducer those of the first replica.</param>
/// <param name="Shares">Contiguous micro-batches of each replica, together those of the step.</param>
internal sealed record ReplicaShare(int Index, ReplicaMesh Mesh, ReplicaStages Own, IReadOnlyList<LeafShare> Shares)
{
    /// <summary>That of a rank in a layout.</summary>
    /// <exception cref="ScheduleException">A schedule's text cannot be read, or those of the layout do not go together.</exception>
    internal static ReplicaShare Of(PipelineLayout layout, int rank)
    {
        var mesh = ReplicaMesh.Of(layout);
        if (mesh.Fault() is { } fault) throw new ScheduleException(fault);
        var microBatchCount = mesh.Replicas.Sum(replica => replica.Schedule.MicroBatchCount);
        return new ReplicaShare(mesh.ReplicaOf(rank), mesh, mesh.StagesOf(rank), LeafShare.Even(microBatchCount, mesh.ReplicaCount));
    }
}
