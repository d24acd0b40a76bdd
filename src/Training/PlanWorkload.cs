using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Stages;
using TorchSharp;

namespace Pipeline.Training;

/// <summary>Gives the stages of this process the units and batches that a plan names.</summary>
internal sealed class PlanWorkload(TrainingPlan plan) : IStageWorkloadFactory
{
    /// <inheritdoc/>
    public StageWorkload Create(StageProtocol.AssignStage assignment) => new()
    {
        Units = plan.Units,
        Options = new StageOptions(plan.Precision, DeviceOf(assignment.Rank), plan.Seed),
        Optimizer = plan.Optimizer,
        Batches = plan.Batches,
        Checkpoints = plan.Checkpoints?.Store,
        CheckpointPatience = plan.Checkpoints?.Patience ?? default,
        Summation = plan.Summation,
        SharesOptimizer = plan.SharesOptimizer && plan.ReplicaCount > 1,
        SharesGradients = plan.ReducesEachMicroBatch,
        Reduction = plan.Reduction,
        Recompute = plan.Recompute,
        Barrier = plan.Barrier,
        ThreadCount = plan.ThreadsPerStage,
    };

    private torch.Device DeviceOf(int rank) => plan.Devices.Count == 0 ? torch.CPU : plan.Devices[rank % plan.Devices.Count];
}
