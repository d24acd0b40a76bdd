using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Schedules;
using Pipeline.Stages;
using TorchSharp;

namespace Pipeline.Training;

/// <summary>
/// A run: which units, which batches, how they are spread, how long. All that is not required has a value that trains in one process on
/// the CPU. A value, not an action: <see cref="PipelineRun"/> carries it out.
/// </summary>
public sealed record TrainingPlan
{
    /// <summary>The units of the model, in order: those of the library, or the user's own.</summary>
    public required IReadOnlyList<Unit> Units { get; init; }

    /// <summary>Micro-batches by position; their count a step is the schedule's.</summary>
    public required IBatchSource Batches { get; init; }

    /// <summary>Optimizer.</summary>
    public required OptimizerSettings Optimizer { get; init; }

    /// <summary>The step after which the run ends.</summary>
    public required long Steps { get; init; }

    /// <summary>Stages, one a rank. At most as many as there are units.</summary>
    public int StageCount { get; init; } = 1;

    /// <summary>Replicas of the pipeline, which share a step's micro-batches; their number divides that of the micro-batches.</summary>
    public int ReplicaCount { get; init; } = 1;

    /// <summary>Ranks of each replica, where these are not all <see cref="StageCount"/>, which the first has; null for as many everywhere. No bit depends on it.</summary>
    public IReadOnlyList<int>? StagesPerReplica { get; init; }

    /// <summary>In which order gradients of micro-batches are added.</summary>
    public Summation Summation { get; init; }

    /// <summary>Whether each replica holds the optimizer state of a share of the parameters and updates these for all (ZeRO, stage 1).</summary>
    public bool SharesOptimizer { get; init; }

    /// <summary>
    /// Whether beside that the gradients are added up micro-batch by micro-batch at their parameter's owner, and nobody holds all of them
    /// (ZeRO, stage 2).
    /// </summary>
    public bool SharesGradients { get; init; }

    /// <summary>How replicas add their gradients up.</summary>
    public ReductionSettings Reduction { get; init; } = new();

    /// <summary>Whether replicas take steps of their own, and bring their weights together from time to time.</summary>
    internal bool StepsLocally => ReplicaCount > 1 && Reduction.Outer is not null;

    /// <summary>Whether a step's gradients take another way than straight into the buffers that the optimizer reads.</summary>
    internal bool Reduces => (ReplicaCount > 1 && !StepsLocally) || Summation == Summation.Invariant;

    /// <summary>Whether the step's gradients are added up over the replicas for each of their micro-batches.</summary>
    internal bool ReducesEachMicroBatch => SharesGradients && ReplicaCount > 1;

    /// <summary>Name of a schedule, such as <c>1f1b</c> or <c>gpipe</c>.</summary>
    public string Schedule { get; init; } = "1f1b";

    /// <summary>A schedule in text form, which replaces the named one; null for none.</summary>
    public string? ScheduleText { get; init; }

    /// <summary>The schedule that <see cref="ScheduleText"/> is for one share of the step's micro-batches, for another share; null where there is none.</summary>
    public Func<int, Schedule>? ScheduleOf { get; init; }

    /// <summary>The schedule that <see cref="ScheduleText"/> is for one number of ranks, for another number; null where there is none.</summary>
    public Func<int, Schedule>? ScheduleOver { get; init; }

    /// <summary>The schedule that <see cref="ScheduleText"/> is, for another number of ranks and another share of the micro-batches; null where there is none.</summary>
    public Func<int, int, Schedule>? ScheduleFor { get; init; }

    /// <summary>Whether the run goes on with fewer replicas while there is no room for all; otherwise lost ranks go to the nodes that are left.</summary>
    public bool IsElastic { get; init; }

    /// <summary>The most replicas of an elastic run, where there is room for them; null for <see cref="ReplicaCount"/>. At most the micro-batches of a step.</summary>
    public int? MostReplicas { get; init; }

    /// <summary>Units of each stage of replicas with <see cref="StageCount"/> ranks; null to balance their estimated cost.</summary>
    public IReadOnlyList<int>? UnitCounts { get; init; }

    /// <summary>What each unit drops where the schedule recomputes (its R actions); null for everything but a unit's input.</summary>
    public IReadOnlyList<Recomputation>? Recompute { get; init; }

    /// <summary>Whether a step waits for its global norm before its optimizer runs.</summary>
    public OptimizerBarrier Barrier { get; init; }

    /// <summary>Arithmetic.</summary>
    public Precision Precision { get; init; } = Precision.Fp32;

    /// <summary>Device of each rank; fewer than ranks are taken in turn. Empty for the CPU.</summary>
    public IReadOnlyList<torch.Device> Devices { get; init; } = [];

    /// <summary>Seed of initial weights and dropout.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Intra-operation threads of each stage.</summary>
    public int ThreadsPerStage { get; init; } = 1;

    /// <summary>How tensors travel between stages.</summary>
    public TensorLinkKind Links { get; init; } = TensorLinkKind.Automatic;

    /// <summary>Steps between evaluations of the held-out text; 0 for none.</summary>
    public long EvaluateEvery { get; init; }

    /// <summary>At most so many held-out micro-batches an evaluation.</summary>
    public int EvaluationMicroBatchCount { get; init; } = 8;

    /// <summary>Where checkpoints go; null to keep none.</summary>
    public CheckpointPlan? Checkpoints { get; init; }

    /// <summary>Step of the checkpoint to go on from; 0 for a new run. Resolved and verified by the caller.</summary>
    public long ResumeFromStep { get; init; }

    /// <summary>What the stages record.</summary>
    public RecordingDuties Recording { get; init; } = RecordingDuties.None;

    /// <summary>Where copies of the stages' state go, for ranks that may be lost; nowhere within one process.</summary>
    public ProtectionDuties Protection { get; init; } = ProtectionDuties.None;

    /// <summary>Steps granted beyond the last committed one, so that no stage waits for the coordinator.</summary>
    public int StepsAhead { get; init; } = 4;

    /// <summary>What was changed of the run before it goes on, in the order of the steps.</summary>
    public IReadOnlyList<SettingChange> Changes { get; init; } = [];

    /// <summary>What follows when the ranks' measured times ask for another division of the units.</summary>
    public RebalancePolicy Rebalance { get; init; } = RebalancePolicy.None;

    /// <summary>What the ranks are expected to need; null where nobody has planned it, and equal times are what is aimed at.</summary>
    public PlannedTimes? Planned { get; init; }

    /// <summary>By rank of all replicas, the address of the node that a plan gives it; empty for wherever the coordinator puts it.</summary>
    public IReadOnlyList<string> PlannedNodes { get; init; } = [];

    /// <summary>What becomes of steps whose loss or norm is not finite.</summary>
    public NonFinitePolicy NonFinite { get; init; } = NonFinitePolicy.Default;

    /// <summary>Steps up to and with <see cref="ResumeFromStep"/> that were passed over, since they were not finite.</summary>
    public int SkippedInRow { get; init; }

    /// <summary>Name of the run; keys its messages.</summary>
    public string Name { get; init; } = "run";
}

/// <summary>Where and how often a run is saved.</summary>
/// <param name="Store">Where.</param>
/// <param name="Describe">What the run says of its state after a step.</param>
public sealed record CheckpointPlan(ICheckpointStore Store, Func<long, CheckpointDescription> Describe)
{
    /// <summary>Steps between checkpoints; 0 for one at the end only.</summary>
    public long SaveEvery { get; init; }

    /// <summary>Newest checkpoints kept.</summary>
    public int KeepCount { get; init; } = 3;

    /// <summary>Small files that go into every checkpoint, by name.</summary>
    public IReadOnlyDictionary<string, string>? Texts { get; init; }

    /// <summary>For so long a rank's save waits for the one before it: longer than a disk takes that only is slow.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Waits between failed saves.</summary>
    public SaveRetry Retry { get; init; } = SaveRetry.Default;
}
