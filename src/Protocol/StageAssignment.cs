using MessagePack;

namespace Pipeline.Protocol;

/// <summary>What a stage is to record besides its steps' results.</summary>
/// <param name="DigestEvery">Steps between digests of the state; 0 for none.</param>
/// <param name="TraceFromStep">First step whose actions are reported as spans; 0 for none.</param>
/// <param name="TraceThroughStep">Last such step.</param>
[MessagePackObject]
public sealed record RecordingDuties(
    [property: Key(0)] int DigestEvery,
    [property: Key(1)] long TraceFromStep,
    [property: Key(2)] long TraceThroughStep)
{
    /// <summary>Nothing but results.</summary>
    public static RecordingDuties None { get; } = new(0, 0, 0);

    /// <summary>Whether the digest of a step is wanted.</summary>
    public bool WantsDigest(long step) => DigestEvery > 0 && step % DigestEvery == 0;

    /// <summary>Whether the spans of a step are wanted.</summary>
    public bool WantsSpans(long step) => TraceFromStep > 0 && step >= TraceFromStep && step <= TraceThroughStep;
}

/// <summary>Which points of a run every rank meets by itself, alike, without being told.</summary>
/// <param name="EndStep">The step after which the run ends, unless it is stopped earlier.</param>
/// <param name="EvaluateEvery">Steps between evaluations; 0 for none, also none at the end.</param>
/// <param name="EvaluationMicroBatchCount">At most so many held-out micro-batches an evaluation.</param>
/// <param name="Changes">What was changed since the run began, in the order of the steps; null for nothing.</param>
[MessagePackObject]
public sealed record StepCadence(
    [property: Key(0)] long EndStep,
    [property: Key(1)] long EvaluateEvery,
    [property: Key(2)] int EvaluationMicroBatchCount,
    [property: Key(3)] IReadOnlyList<SettingChange>? Changes = null)
{
    /// <summary>Whether an evaluation follows a step.</summary>
    public bool EvaluatesAfter(long step)
    {
        var every = (long?)SettingChange.Latest(Changes, SettingKind.EvaluateEvery, step) ?? EvaluateEvery;
        return (every > 0 && (step % every == 0 || step == EndStep)) || Changes?.Any(change => change.Setting == SettingKind.EvaluateOnce && change.FromStep == step) == true;
    }
}

/// <summary>Where copies of a rank's state go.</summary>
public enum ProtectionKind
{
    /// <summary>Nowhere: what is lost starts from the newest checkpoint, and all with it.</summary>
    None = 0,

    /// <summary>Into the memory of another node.</summary>
    Memory = 1,

    /// <summary>Into a folder that a replacement can read.</summary>
    Disk = 2,
}

/// <summary>How a rank protects its state.</summary>
/// <param name="Kind">Where copies go.</param>
/// <param name="Every">Steps between copies, k; of a run that takes none, what it would be.</param>
/// <param name="Folder">Folder of the copies that go to disk; empty where none are meant to.</param>
[MessagePackObject]
public sealed record ProtectionDuties(
    [property: Key(0)] ProtectionKind Kind,
    [property: Key(1)] int Every,
    [property: Key(2)] string Folder)
{
    /// <summary>No copies.</summary>
    public static ProtectionDuties None { get; } = new(ProtectionKind.None, 0, "");

    /// <summary>Whether a copy of the state after a step is wanted.</summary>
    public bool CopiesAfter(long step) => Kind != ProtectionKind.None && step % Every == 0;

    /// <summary>The duties of a step, whoever takes it and when, after what was changed of them.</summary>
    public ProtectionDuties At(long step, IReadOnlyList<SettingChange>? changes) => changes is not { Count: > 0 } ? this : this with
    {
        Kind = (ProtectionKind?)(int?)SettingChange.Latest(changes, SettingKind.ProtectionKind, step) ?? Kind,
        Every = (int?)SettingChange.Latest(changes, SettingKind.ProtectionEvery, step) ?? Every,
    };
}

/// <summary>
/// Where everything lies in one generation: the same for all ranks, so that each can find its neighbours.
/// </summary>
/// <param name="Run">Run.</param>
/// <param name="Generation">Assignment.</param>
/// <param name="PartitionedIn">The generation since which the ranks hold the units that they hold.</param>
/// <param name="UnitCounts">Units of each stage of the first replicas, in model order.</param>
/// <param name="Schedule">Their training schedule in its exact text form; it names the rank of each stage.</param>
/// <param name="Ranks">Where each rank lies and who holds its copies.</param>
/// <param name="Links">How tensors reach other ranks.</param>
/// <param name="Cadence">Evaluations and the end.</param>
/// <param name="Protection">Copies, as they were meant when the run began; the cadence's changes say what became of that.</param>
/// <param name="Configuration">The run's resolved settings as text; what a process of its own builds its model and data from.</param>
/// <param name="Others">Replicas that compute other micro-batches than the schedule says, or on other stages, in their order; null for none.</param>
/// <param name="Machines">By replica, the number of the machine that it lay on when the ranks were given their units; null where nobody asks. It stays when a rank moves: who sends what does not change then.</param>
/// <param name="ReducerCount">The last so many ranks compute nothing: they add up what all replicas contribute, each for the units of one rank of the first replica.</param>
/// <param name="AheadByteCount">What a rank may keep of what it has sent, in bytes, while it begins steps beyond those that are assured to it.</param>
[MessagePackObject]
public sealed record PipelineLayout(
    [property: Key(0)] RunId Run,
    [property: Key(1)] Generation Generation,
    [property: Key(2)] Generation PartitionedIn,
    [property: Key(3)] IReadOnlyList<int> UnitCounts,
    [property: Key(4)] string Schedule,
    [property: Key(5)] IReadOnlyList<RankPlace> Ranks,
    [property: Key(6)] TensorLinkKind Links,
    [property: Key(7)] StepCadence Cadence,
    [property: Key(8)] ProtectionDuties Protection,
    [property: Key(9)] string Configuration,
    [property: Key(10)] IReadOnlyList<OtherReplicas>? Others = null,
    [property: Key(11)] IReadOnlyList<int>? Machines = null,
    [property: Key(12)] int ReducerCount = 0,
    [property: Key(13)] long AheadByteCount = 0)
{
    /// <summary>The duties of the steps that are yet to come.</summary>
    [IgnoreMember]
    public ProtectionDuties ProtectionNow => Protection.At(long.MaxValue, Cadence.Changes);
}

/// <summary>Replicas that follow each other and have stages or a schedule of their own; <see cref="ReplicaMesh"/> says what that makes of the ranks.</summary>
/// <param name="FirstReplica">The first of them, at least 1; they end where others begin.</param>
/// <param name="UnitCounts">Units of each of their stages, in model order.</param>
/// <param name="Schedule">Their schedule in its exact text form.</param>
[MessagePackObject]
public sealed record OtherReplicas(
    [property: Key(0)] int FirstReplica,
    [property: Key(1)] IReadOnlyList<int> UnitCounts,
    [property: Key(2)] string Schedule);

/// <summary>Where a rank lies.</summary>
/// <param name="Node">Its node.</param>
/// <param name="StagePath">Path of its actor, resolvable by the receiver.</param>
/// <param name="LinkAddress">Where its node's tensor links listen; empty where tensors travel as messages.</param>
/// <param name="Holder">The node that holds the rank's copies; null where none does.</param>
[MessagePackObject]
public sealed record RankPlace(
    [property: Key(0)] NodeId Node,
    [property: Key(1)] string StagePath,
    [property: Key(2)] string LinkAddress,
    [property: Key(3)] HolderPlace? Holder);

/// <summary>Where copies lie.</summary>
/// <param name="Node">The node that holds them.</param>
/// <param name="Path">Path of its copy holder.</param>
/// <param name="LinkAddress">Where the node's tensor links listen; empty where copies travel as messages.</param>
[MessagePackObject]
public sealed record HolderPlace(
    [property: Key(0)] NodeId Node,
    [property: Key(1)] string Path,
    [property: Key(2)] string LinkAddress);

/// <summary>The state that a rank starts from.</summary>
/// <param name="Kind">Where it comes from.</param>
/// <param name="Step">The step whose end it is of; 0 for the initial weights.</param>
/// <param name="Copies">The copies that hold the rank's tensors, found in them by name; empty for other kinds.</param>
/// <param name="Evaluates">Whether the evaluation after the step is still to be run: others may wait for it.</param>
[MessagePackObject]
public sealed record StartingPoint(
    [property: Key(0)] StartKind Kind,
    [property: Key(1)] long Step,
    [property: Key(2)] IReadOnlyList<CopySource> Copies,
    [property: Key(3)] bool Evaluates = false)
{
    /// <summary>The initial weights, made from the seed.</summary>
    public static StartingPoint Initial { get; } = new(StartKind.Initial, 0, []);

    /// <summary>A checkpoint; for step 0 the initial weights.</summary>
    public static StartingPoint Checkpoint(long step) => step == 0 ? Initial : new(StartKind.Checkpoint, step, []);
}

/// <summary>Where a starting state comes from.</summary>
public enum StartKind
{
    /// <summary>The seed.</summary>
    Initial = 0,

    /// <summary>The run's checkpoint of the step.</summary>
    Checkpoint = 1,

    /// <summary>Copies of the step.</summary>
    Copies = 2,
}

/// <summary>A copy and where it lies.</summary>
/// <param name="Copy">Which.</param>
/// <param name="Holder">Who holds it; null where it lies in the protection's folder.</param>
[MessagePackObject]
public sealed record CopySource(
    [property: Key(0)] CopyId Copy,
    [property: Key(1)] HolderPlace? Holder);

/// <summary>How tensors reach other ranks.</summary>
public enum TensorLinkKind
{
    /// <summary>By reference where the other rank lives on the same node, as frames elsewhere.</summary>
    Automatic = 0,

    /// <summary>As frames everywhere, also inside the process.</summary>
    Frames = 1,

    /// <summary>By reference within a process, over Unix sockets elsewhere.</summary>
    Unix = 2,

    /// <summary>By reference within a process, over TCP elsewhere.</summary>
    Tcp = 3,

    /// <summary>By reference within a process, over a second actor system elsewhere.</summary>
    Akka = 4,
}
