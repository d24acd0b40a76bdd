using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>What a plan is wanted for, and among what may be chosen.</summary>
public sealed record PlanRequest
{
    /// <summary>Costs of the units.</summary>
    public required ModelProfile Profile { get; init; }

    /// <summary>Samples of a step on one pipeline: micro-batches × their size.</summary>
    public required int SamplesPerStep { get; init; }

    /// <summary>The ranks of the pipeline, in order; with different replicas the least that any has at each place.</summary>
    public required ImmutableArray<NodeCapacity> Ranks { get; init; }

    /// <summary>Whether each rank stays on the node at its place: where others place them, no other order is looked for.</summary>
    public bool KeepsOrder { get; init; }

    /// <summary>
    /// Kinds of replicas, where they differ: a step ends with the slowest of them, so each is simulated. Empty for one kind, with <see cref="Ranks"/>,
    /// <see cref="Slowdowns"/> and <see cref="Links"/>.
    /// </summary>
    public ImmutableArray<PlannedPipeline> Pipelines { get; init; } = [];

    /// <summary>Sizes of micro-batch to try; those that do not divide the samples of a step are left out.</summary>
    public required ImmutableArray<int> MicroBatchSizes { get; init; }

    /// <summary>Kinds of schedule to try.</summary>
    public ImmutableArray<IScheduleGenerator> Kinds { get; init; } = [.. ScheduleCatalog.All];

    /// <summary>Stages per rank to try, with kinds that allow them.</summary>
    public ImmutableArray<int> VirtualStages { get; init; } = [1, 2, 3, 4];

    /// <summary>
    /// Whether to try dropping and recomputing activations; selective recomputation is tried where the profile knows of it. Of two of them the heavier is also tried on some units only,
    /// where the lighter on all would not fit: <see cref="PartialRecompute"/>.
    /// </summary>
    public ImmutableArray<RecomputePolicy> Recomputes { get; init; } = [RecomputePolicy.None, RecomputePolicy.Selective, RecomputePolicy.Full];

    /// <summary>How outputs of given sizes travel between ranks; null where only the profile's latency counts.</summary>
    public Func<ImmutableArray<long>, LinkModel>? Links { get; init; }

    /// <summary>How the stages' gradients of given sizes are reduced; null without replicas.</summary>
    public Func<ImmutableArray<long>, IReductionModel>? Reductions { get; init; }

    /// <summary>Devices that are slow for a while, by their place in <see cref="Ranks"/>.</summary>
    public ImmutableArray<Slowdown> Slowdowns { get; init; } = [];

    /// <summary>
    /// Whether every step waits for the global norm. Where it need not, schedules that split the backward are held by the time that one step
    /// adds to those around it, <see cref="SteadySteps"/>.
    /// </summary>
    public bool WaitsForNorm { get; init; } = true;

    /// <summary>
    /// By how much durations are expected to differ from time to time, as a share. What comes near the fastest is simulated several times with it and ranked by
    /// the mean, so that no order is chosen which one late message upsets.
    /// </summary>
    public double Spread { get; init; } = 0.1;

    /// <summary>Which stages of a partition share a parameter.</summary>
    public Func<ImmutableArray<UnitRange>, IEnumerable<int>> TiedStages { get; init; } = _ => [];

    /// <summary>Whether the ranks of a schedule hold their weights twice, since a step that was begun before the norm may be taken back.</summary>
    public Func<Schedule, bool> HoldsWeightsTwice { get; init; } = _ => false;

    /// <summary>What is simulated.</summary>
    internal ImmutableArray<PlannedPipeline> Simulated => Pipelines.IsEmpty ? [new PlannedPipeline(0, Ranks) { Slowdowns = Slowdowns, Links = Links }] : Pipelines;

    /// <summary>The units' costs for a size of micro-batch, with all the state that a schedule's ranks hold.</summary>
    internal ImmutableArray<UnitProfile> UnitsFor(int microBatchSize, Schedule schedule)
    {
        var units = Profile.For(microBatchSize);
        // The second copy is of fp32, as the gradient is.
        return HoldsWeightsTwice(schedule) ? [.. units.Select(unit => unit with { StateBytes = unit.StateBytes + unit.GradientBytes })] : units;
    }
}

/// <summary>One way to run a step, with what is predicted of it.</summary>
/// <param name="Kind">Name of the schedule.</param>
/// <param name="VirtualStages">Stages per rank.</param>
/// <param name="MicroBatchSize">Samples of a micro-batch.</param>
/// <param name="MicroBatchCount">Micro-batches of a step.</param>
/// <param name="Recompute">What each unit drops and makes again.</param>
public sealed record PlanCandidate(string Kind, int VirtualStages, int MicroBatchSize, int MicroBatchCount, UnitRecompute Recompute)
{
    /// <summary>The most (stage, micro-batch) pairs that a rank holds, where the kind was asked for another number than its own.</summary>
    public int? MemoryCredit { get; init; }

    /// <summary>The costs with which its order was found; null where the kind needs none.</summary>
    public OrderCosts? Costs { get; init; }

    /// <summary>Units of each stage; empty where there is no partition.</summary>
    public ImmutableArray<UnitRange> Partition { get; init; } = [];

    /// <summary>For each rank of the pipeline the node that takes it.</summary>
    public ImmutableArray<int> NodeOfRank { get; init; } = [];

    /// <summary>Costs of the units on the nodes that it gives them, in the slowest replica: as they were measured there, or the plan's at the speed of the node.</summary>
    public ImmutableArray<UnitProfile> Units { get; init; } = [];

    /// <summary>The schedule of a step, with recomputation and its end; null where there is no partition.</summary>
    public Schedule? Schedule { get; init; }

    /// <summary>Predicted duration of a step of each kind of replica, as the request has them; it ends with the slowest.</summary>
    public ImmutableArray<double> PipelineTimes { get; init; } = [];

    /// <summary>By rank of the slowest replica, what it computes in a step.</summary>
    public ImmutableArray<double> RankBusy { get; init; } = [];

    /// <summary>Which kind of replica is the slowest: what is predicted is of it.</summary>
    public int SlowestPipeline { get; init; }

    /// <summary>Predicted duration of a step.</summary>
    public double StepTime { get; init; } = double.PositiveInfinity;

    /// <summary>What it takes in the mean where actions differ from their costs by the request's spread; null where that was not simulated.</summary>
    public double? UnevenTime { get; init; }

    /// <summary>What candidates are compared by: what it takes where durations differ, if that was simulated.</summary>
    internal double ComparedTime => UnevenTime ?? StepTime;

    /// <summary>Predicted share of idle time.</summary>
    public double BubbleShare { get; init; }

    /// <summary>Predicted peak of the fullest rank, in bytes.</summary>
    public long PeakBytes { get; init; }

    /// <summary>Why it cannot be had; null where it fits.</summary>
    public string? Misfit { get; init; }

    /// <summary>How the partition was found.</summary>
    public PartitionMethod Method { get; init; }

    /// <summary>True where it fits.</summary>
    public bool Fits => Misfit is null;
}

/// <summary>What a planner found.</summary>
/// <param name="Candidates">The fastest first, what does not fit last.</param>
/// <param name="Explanation">Sentences that say what was chosen and why.</param>
public sealed record Plan(ImmutableArray<PlanCandidate> Candidates, ImmutableArray<string> Explanation)
{
    /// <summary>The chosen one, or null where nothing fits.</summary>
    public PlanCandidate? Choice => Candidates.FirstOrDefault(candidate => candidate.Fits);
}
