using Pipeline.Checkpoints;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Reduction;

namespace Pipeline.Stages;

/// <summary>Everything that a stage needs beside its assignment: what to compute, on what, and where to keep it.</summary>
public sealed record StageWorkload
{
    /// <summary>All units of the model, in order; the stage holds some of them.</summary>
    public required IReadOnlyList<Unit> Units { get; init; }

    /// <summary>Arithmetic, device, seed.</summary>
    public required StageOptions Options { get; init; }

    /// <summary>Optimizer.</summary>
    public required OptimizerSettings Optimizer { get; init; }

    /// <summary>Micro-batches by position. Each stage asks for those that it works on.</summary>
    public required IBatchSource Batches { get; init; }

    /// <summary>Where checkpoints lie; null where none are kept.</summary>
    public ICheckpointStore? Checkpoints { get; init; }

    /// <summary>For so long a save waits for the one before it, on the compute thread; if that is not written by then it fails.</summary>
    public TimeSpan CheckpointPatience { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Told where the compute thread passes, on that thread; null for nobody. For tests that strike there.</summary>
    public Action<StagePoint>? Probe { get; init; }

    /// <summary>What each unit of the model drops where the schedule recomputes; null for everything.</summary>
    public IReadOnlyList<Recomputation>? Recompute { get; init; }

    /// <summary>Whether a step waits for its norm before its optimizer runs.</summary>
    public OptimizerBarrier Barrier { get; init; }

    /// <summary>In which order gradients of micro-batches are added.</summary>
    public Summation Summation { get; init; }

    /// <summary>Whether each replica holds the optimizer state of a share of the parameters and updates these for all.</summary>
    public bool SharesOptimizer { get; init; }

    /// <summary>Whether gradients are added up micro-batch by micro-batch at their owner, and nobody holds all of them; only with a shared-out optimizer.</summary>
    public bool SharesGradients { get; init; }

    /// <summary>How replicas add their gradients up.</summary>
    public ReductionSettings Reduction { get; init; } = new();

    /// <summary>Intra-operation threads of the compute thread.</summary>
    public int ThreadCount { get; init; } = 1;
}

/// <summary>
/// Makes the workload of an assignment, on the stage's compute thread. The composition root supplies it: from the run's configuration,
/// or, in a program of the user's own, from units that it closes over.
/// </summary>
public interface IStageWorkloadFactory
{
    /// <summary>The workload of one rank.</summary>
    StageWorkload Create(StageProtocol.AssignStage assignment);
}
