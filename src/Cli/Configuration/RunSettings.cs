using Pipeline.Coordinator;
using Pipeline.Data;
using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Schedules;
using Pipeline.Stages;

namespace Pipeline.Cli.Configuration;

/// <summary>Everything that a run needs to know, bound once from the resolved configuration and never changed.</summary>
public sealed record RunSettings
{
    /// <summary>Preset that the values started from; it names the run directory.</summary>
    public required string Preset { get; init; }

    /// <summary>Seed of weights, samples and dropout.</summary>
    public required long Seed { get; init; }

    /// <summary>What is asked for; auto is settled by <see cref="Machine.PrecisionProbe"/>.</summary>
    public required PrecisionChoice Precision { get; init; }

    /// <summary>Where tensors live: <c>cpu</c> or <c>cuda:N</c>.</summary>
    public required string Device { get; init; }

    /// <summary>The shape of the model.</summary>
    public required ModelSettings Model { get; init; }

    /// <summary>AdamW and its schedule.</summary>
    public required OptimizerSettings Optimizer { get; init; }

    /// <summary>The corpus and its tokenizer.</summary>
    public required DataSettings Data { get; init; }

    /// <summary>Hash that corpus and tokenizer must have; null for any.</summary>
    public required string? DataContent { get; init; }

    /// <summary>Order and size of a step.</summary>
    public required StepSettings Step { get; init; }

    /// <summary>When to save, and how much to keep.</summary>
    public required CheckpointSettings Checkpoint { get; init; }

    /// <summary>Where copies of the stages' state go, and how often.</summary>
    public required ProtectionDuties Protection { get; init; }

    /// <summary>Length and cadences.</summary>
    public required CadenceSettings Run { get; init; }

    /// <summary>In which order gradients of micro-batches are added.</summary>
    public required Summation Summation { get; init; }

    /// <summary>How replicas add their gradients up.</summary>
    public required ReductionSettings Reduction { get; init; }

    /// <summary>Whether the number of replicas follows the nodes.</summary>
    public required ElasticChoice Elastic { get; init; }

    /// <summary>Whether a run goes on with fewer replicas while there is no room for all.</summary>
    public bool IsElastic => (Step.ReplicaCount > 1 || Step.MostReplicas > 1) && Elastic switch { ElasticChoice.Auto => Summation == Summation.Invariant, var choice => choice == ElasticChoice.On };

    /// <summary>File of measured costs; null for the one of this model and machine in the cache, if there is one.</summary>
    public required string? Profile { get; init; }

    /// <summary>By rank of a pipeline, what a plan expects it to compute in a step, in seconds; null where nobody has planned it.</summary>
    public IReadOnlyList<double>? PlannedTimes { get; init; }

    /// <summary>By unit, what that plan expects it to need in a step on a node of speed 1, in seconds; null where that is not known.</summary>
    public IReadOnlyList<double>? PlannedUnits { get; init; }

    /// <summary>By rank of a pipeline, the speed of its node in that plan; null for nodes that are alike.</summary>
    public IReadOnlyList<double>? PlannedSpeeds { get; init; }

    /// <summary>By rank of all replicas, the address of its node in that plan; null for wherever the run's leader puts it.</summary>
    public IReadOnlyList<string>? PlannedNodes { get; init; }

    /// <summary>The cluster to reckon with.</summary>
    public required SimulationSettings Simulation { get; init; }

    /// <summary>Replicas that <c>plan</c> and <c>simulate</c> reckon with: those of the run, or of the described cluster.</summary>
    public int ReplicasToReckonWith => Math.Max(Step.ReplicaCount, Simulation.ReplicaCount);

    /// <summary>How tensors travel between stages.</summary>
    public required LinkKind Link { get; init; }

    /// <summary>Threads within each stage.</summary>
    public required int ThreadsPerStage { get; init; }

    /// <summary>The processes that a run is spread over, and how they find each other.</summary>
    public required ClusterSettings Cluster { get; init; }

    /// <summary>Where a run is watched from.</summary>
    public required TelemetrySettings Telemetry { get; init; }

    /// <summary>The arithmetic of the stages, once precision is settled.</summary>
    /// <exception cref="InvalidOperationException">Precision is still auto: <see cref="RunSettingsBinder.Settle"/> was not called.</exception>
    public Precision Arithmetic() => Precision switch
    {
        PrecisionChoice.Fp32 => Pipeline.Model.Precision.Fp32,
        PrecisionChoice.Bf16 => Pipeline.Model.Precision.Bf16,
        _ => throw new InvalidOperationException("The precision is not settled yet."),
    };
}

/// <summary>How a step is made of micro-batches, and over how many stages it runs.</summary>
public sealed record StepSettings
{
    /// <summary>Name of the schedule, or the path of a file with one.</summary>
    public required string Schedule { get; init; }

    /// <summary>Ranks of the pipeline.</summary>
    public required int StageCount { get; init; }

    /// <summary>Stages on each rank; null for what the schedule takes by default.</summary>
    public int? VirtualStages { get; init; }

    /// <summary>What each unit drops after its forward and computes again.</summary>
    public UnitRecompute Recompute { get; init; } = UnitRecompute.None;

    /// <summary>Bytes that a rank may hold; null for what is known of where it lies.</summary>
    public double? RankMemory { get; init; }

    /// <summary>Whether a step's optimizer waits for its norm.</summary>
    public OptimizerBarrier Barrier { get; init; }

    /// <summary>Pairs of stage and micro-batch that a rank may hold, for a schedule that takes it as a given; null for its default.</summary>
    public int? MemoryCredit { get; init; }

    /// <summary>With which costs the work-conserving schedule's order is found; null for parts that cost the same.</summary>
    public OrderCosts? OrderCosts { get; init; }

    /// <summary>Whether units change hands during the run.</summary>
    public RebalancePolicy Rebalance { get; init; } = RebalancePolicy.None;

    /// <summary>Units of each stage; null to balance their costs.</summary>
    public IReadOnlyList<int>? Partition { get; init; }

    /// <summary>Micro-batches of a step.</summary>
    public required int MicroBatchCount { get; init; }

    /// <summary>Samples of a micro-batch.</summary>
    public required int MicroBatchSize { get; init; }

    /// <summary>Replicas of the pipeline.</summary>
    public required int ReplicaCount { get; init; }

    /// <summary>The most replicas of an elastic run; null for <see cref="ReplicaCount"/>.</summary>
    public int? MostReplicas { get; init; }

    /// <summary>Ranks of each replica; null where all have <see cref="StageCount"/>.</summary>
    public IReadOnlyList<int>? StagesPerReplica { get; init; }

    /// <summary>Whether replicas have different numbers of ranks.</summary>
    public bool IsUneven => StagesPerReplica?.Distinct().Count() > 1;

    /// <summary>Ranks of the replica that has most.</summary>
    public int MostStages => StagesPerReplica?.Max() ?? StageCount;

    /// <summary>Ranks of all replicas.</summary>
    public int RankCount => StagesPerReplica?.Sum() ?? StageCount * ReplicaCount;

    /// <summary>Shards of the optimizer state: 1, or one a replica.</summary>
    public required int OptimizerShardCount { get; init; }

    /// <summary>Shards of the gradient: 1, or one a replica.</summary>
    public int GradientShardCount { get; init; } = 1;

    /// <summary>Micro-batches of a step that each replica computes.</summary>
    public int MicroBatchesPerReplica => MicroBatchCount / ReplicaCount;

    /// <summary>Samples of a step.</summary>
    public int SampleCount => checked(MicroBatchCount * MicroBatchSize);
}

/// <summary>When checkpoints are taken and how many stay.</summary>
/// <param name="Every">Steps between them; 0 for the end only.</param>
/// <param name="KeepCount">How many of the newest stay.</param>
/// <param name="Bucket">Bucket of S3; null for the run directory.</param>
/// <param name="Prefix">Prefix of the keys; null for the run directory's name.</param>
/// <param name="Endpoint">Address of a server other than Amazon's; null for Amazon's.</param>
/// <param name="Region">Region; null for the environment's.</param>
public sealed record CheckpointSettings(int Every, int KeepCount, string? Bucket = null, string? Prefix = null, string? Endpoint = null, string? Region = null);

/// <summary>Length of a run and what it reports when.</summary>
public sealed record CadenceSettings
{
    /// <summary>The last step, counted from the first start.</summary>
    public required int StepCount { get; init; }

    /// <summary>The run directory; null for a fresh one under <c>runs/</c>.</summary>
    public required string? Directory { get; init; }

    /// <summary>Steps between evaluations; 0 for the end only.</summary>
    public required int EvaluateEvery { get; init; }

    /// <summary>Micro-batches of an evaluation.</summary>
    public required int EvaluationBatchCount { get; init; }

    /// <summary>Steps between digests; 0 for none.</summary>
    public required int DigestEvery { get; init; }

    /// <summary>Steps between lines of progress; 0 to choose by the terminal.</summary>
    public required int ProgressEvery { get; init; }

    /// <summary>Steps recorded in the trace.</summary>
    public required int TraceStepCount { get; init; }

    /// <summary>Tokens of the sample at the end.</summary>
    public required int SampleTokenCount { get; init; }

    /// <summary>Steps in a row that are passed over when they are not finite.</summary>
    public required int SkippedInRow { get; init; }

    /// <summary>Tries at a step that fails in the same way.</summary>
    public required int IdenticalFailures { get; init; }
}
