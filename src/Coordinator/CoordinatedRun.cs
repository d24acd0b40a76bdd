using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Reduction;

namespace Pipeline.Coordinator;

/// <summary>Gives the actor of a rank: made under the coordinator's context, or one that lives elsewhere.</summary>
/// <param name="context">The coordinator's context; what is made in it is supervised by it.</param>
/// <param name="rank">Rank.</param>
public delegate IActorRef StageLocator(IActorRefFactory context, int rank);

/// <summary>Divides the units anew.</summary>
/// <param name="unitCounts">Units of each stage so far, in model order.</param>
/// <param name="rankSeconds">By rank, what a step takes it, measured.</param>
/// <param name="rankRoom">By rank, the bytes that it may take where it lies; empty where that is not known.</param>
/// <returns>Null where nothing better is known.</returns>
public delegate UnitDivision? Repartition(IReadOnlyList<int> unitCounts, IReadOnlyList<double> rankSeconds, IReadOnlyList<long> rankRoom);

/// <summary>A division of the units.</summary>
/// <param name="UnitCounts">Units of each stage of the first replicas, in model order.</param>
/// <param name="Schedule">The schedule for them, in text form.</param>
/// <param name="Gain">Share of the slowest rank's time that it is expected to save; 0 where that is not known.</param>
public sealed record UnitDivision(IReadOnlyList<int> UnitCounts, string Schedule, double Gain = 0)
{
    /// <summary>Replicas from then on; null for as many as before.</summary>
    public int? ReplicaCount { get; init; }

    /// <summary>Replicas that compute other micro-batches than the schedule says, or on other stages, in their order; null for none.</summary>
    public IReadOnlyList<OtherReplicas>? Others { get; init; }

    /// <summary>Memory that each rank needs, in bytes; empty where it is not known.</summary>
    public IReadOnlyList<long> RankBytes { get; init; } = [];
}

/// <summary>How a run may change the number of its replicas while it is under way.</summary>
/// <param name="Divide">The layout for so many replicas that hold the given units of each stage; null where there is none, such as for a schedule that needs more micro-batches.</param>
/// <param name="KeepsOrder">Whether gradients are added up in the same order by any number of replicas.</param>
/// <param name="SharesState">Whether a replica's state is a share of the run's: then it takes the copies of all to begin anew.</param>
public sealed record ElasticReplicas(Func<int, IReadOnlyList<int>, UnitDivision?> Divide, bool KeepsOrder, bool SharesState)
{
    /// <summary>The most replicas that the run is to have where there is room for them; null for as many as it began with.</summary>
    public int? Most { get; init; }

    /// <summary>The ranks of each replica that the run began with, where these have stages of their own; null where all are alike.</summary>
    public IReadOnlyList<int>? RankCounts { get; init; }

    /// <summary>The layout for replicas with so many ranks each, where they have stages of their own; null where there is none.</summary>
    public Func<IReadOnlyList<int>, UnitDivision?>? DivideAmong { get; init; }
}

/// <summary>Everything that a coordinator must know of a run.</summary>
public sealed record CoordinatedRun
{
    /// <summary>Names the run on the wire.</summary>
    public required RunId Run { get; init; }

    /// <summary>Steps, evaluations, checkpoints.</summary>
    public required RunPlan Plan { get; init; }

    /// <summary>Units of each stage, in model order.</summary>
    public required IReadOnlyList<int> UnitCounts { get; init; }

    /// <summary>The training schedule with its step's end, in text form.</summary>
    public required string Schedule { get; init; }

    /// <summary>Replicas with other stages than these, in their order; null where all have the same.</summary>
    public IReadOnlyList<OtherReplicas>? Others { get; init; }

    /// <summary>Ranks of the replicas that the run begins with, and has again wherever there is room for them: those of the schedule for each.</summary>
    public required int RankCount { get; init; }

    /// <summary>How tensors travel.</summary>
    public TensorLinkKind Links { get; init; } = TensorLinkKind.Automatic;

    /// <summary>What stages record.</summary>
    public RecordingDuties Recording { get; init; } = RecordingDuties.None;

    /// <summary>Where copies of the stages' state go.</summary>
    public ProtectionDuties Protection { get; init; } = ProtectionDuties.None;

    /// <summary>The run's resolved settings as text, for stages in processes of their own.</summary>
    public string Configuration { get; init; } = "";

    /// <summary>Where the actors of the ranks are, for a run whose ranks never move; null where nodes join and are placed on.</summary>
    public StageLocator? Stages { get; init; }

    /// <summary>Nodes with the role of a stage to wait for before ranks are placed; fewer do once the patience is over.</summary>
    public int NodeCount { get; init; } = 1;

    /// <summary>The node that the coordinator itself lives on, where it lives on one.</summary>
    public NodeId? Home { get; init; }

    /// <summary>By rank, the address of the node that a plan gives it; empty, or of another number of ranks, for none.</summary>
    public IReadOnlyList<string> PlannedNodes { get; init; } = [];

    /// <summary>Memory that each rank needs, in bytes, with the units that it begins with; empty where it is not known.</summary>
    public IReadOnlyList<long> RankBytes { get; init; } = [];

    /// <summary>What a rank may keep of what it has sent, in bytes, while it goes further ahead of the coordinator than <see cref="RunPlan.StepsAhead"/>.</summary>
    public long AheadByteCount { get; init; }

    /// <summary>When silence counts as a loss.</summary>
    public RecoverySettings Recovery { get; init; } = RecoverySettings.None;

    /// <summary>Where decisions are written; null for a run without a successor.</summary>
    public IRunJournal? Journal { get; init; }

    /// <summary>What a former coordinator has left; null for a run that begins.</summary>
    public Predecessor? Predecessor { get; init; }

    /// <summary>At which steps ranks hung under former leaders, and in former starts.</summary>
    public IReadOnlyList<KnownHang> Hangs { get; init; } = [];

    /// <summary>Asks whoever manages the cluster's membership to shut a node out. Called by the coordinator; must not block.</summary>
    public Action<NodeId, string> Down { get; init; } = (_, _) => { };

    /// <summary>Divides the units anew; null where that is not possible.</summary>
    public Repartition? Repartition { get; init; }

    /// <summary>
    /// Divides the units over a number of ranks of each replica, for a number of replicas: the divisions to try, in this order, none where the schedule cannot be had for it; null where
    /// the number stays what it is. Used when the nodes that are left cannot hold the ranks as they are.
    /// </summary>
    public Func<int, int, IEnumerable<UnitDivision>>? DivideOver { get; init; }

    /// <summary>How the run goes on with fewer replicas while there is no room for all; null where lost ranks go to the nodes that are left in any case.</summary>
    public ElasticReplicas? Elastic { get; init; }

    /// <summary>Whether gradients of several replicas are added up beside them, by one rank more for each rank of a replica.</summary>
    public bool HasReducers { get; init; }

    /// <summary>Whether gradients are added up on each machine first, so that all ranks must know which replicas share one.</summary>
    public bool GroupsByMachine { get; init; }

    /// <summary>Names of the units in model order; empty where they are not known.</summary>
    public IReadOnlyList<string> UnitNames { get; init; } = [];

    /// <summary>The layout for so many replicas that hold the given units of each stage, null where there is none; null itself where units cannot change hands.</summary>
    public Func<int, IReadOnlyList<int>, UnitDivision?>? DivisionFor { get; init; }

    /// <summary>The share of a node's memory that ranks may take when units are divided anew.</summary>
    public double UsableMemoryShare { get; init; } = 1;

    /// <summary>When the units are divided anew without being asked.</summary>
    public RebalancePolicy Rebalance { get; init; } = RebalancePolicy.None;

    /// <summary>What decides how compression between replicas may change.</summary>
    public CompressionScope Compression { get; init; } = new(false, false);

    /// <summary>How it is found out whether replicas are to compress what they exchange; null where that is not asked.</summary>
    public CompressionTrial? Trial { get; init; }

    /// <summary>Makes and prunes checkpoints; null where none are kept.</summary>
    public CheckpointKeeper? Keeper { get; init; }

    /// <summary>Waits between failed saves.</summary>
    public SaveRetry Retry { get; init; } = SaveRetry.Default;

    /// <summary>How long stages may take to stop before the run is called over without them.</summary>
    public TimeSpan StopPatience { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Measures how long recoveries take.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>A number of a save that no former coordinator of the run has used.</summary>
    internal int FirstSaveAttempt => (Predecessor?.Entry.Generation.Number ?? 0) * 10_000;
}
