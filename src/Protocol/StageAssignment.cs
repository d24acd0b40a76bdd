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

/// <summary>
/// Where everything lies in one generation: the same for all ranks, so that each can find its neighbours.
/// </summary>
/// <param name="Run">Run.</param>
/// <param name="Generation">Assignment.</param>
/// <param name="UnitCounts">Units of each stage, in model order.</param>
/// <param name="Schedule">The training schedule in its exact text form; it names the rank of each stage.</param>
/// <param name="RankPaths">Actor path of each rank's stage, resolvable by the receiver.</param>
/// <param name="Links">How tensors reach other ranks.</param>
/// <param name="Configuration">The run's resolved settings as text; what a process of its own builds its model and data from.</param>
[MessagePackObject]
public sealed record PipelineLayout(
    [property: Key(0)] RunId Run,
    [property: Key(1)] Generation Generation,
    [property: Key(2)] IReadOnlyList<int> UnitCounts,
    [property: Key(3)] string Schedule,
    [property: Key(4)] IReadOnlyList<string> RankPaths,
    [property: Key(5)] TensorLinkKind Links,
    [property: Key(6)] string Configuration);

/// <summary>How tensors reach other ranks.</summary>
public enum TensorLinkKind
{
    /// <summary>By reference where the other rank lives in the same process, as frames elsewhere.</summary>
    Automatic = 0,

    /// <summary>As frames everywhere, also inside the process.</summary>
    Frames = 1,
}
