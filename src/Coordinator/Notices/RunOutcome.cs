using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>How a run ended.</summary>
public enum RunEnd
{
    /// <summary>After its last step.</summary>
    Completed,

    /// <summary>Earlier, because it was asked to; its state is saved.</summary>
    Stopped,

    /// <summary>By a failure.</summary>
    Failed,
}

/// <summary>The end of a run.</summary>
/// <param name="End">How.</param>
/// <param name="Step">Last committed step.</param>
/// <param name="Error">For failures one or a few sentences: expected, found, remedy.</param>
/// <param name="Failure">The stage's own words, where a stage failed.</param>
public sealed record RunOutcome(RunEnd End, long Step, string? Error = null, StageProtocol.StageFailed? Failure = null)
{
    /// <summary>Whether the failure was found before the first step and can be mended by the user.</summary>
    public bool IsPreparationFailure { get; init; } = Failure?.Kind == StageFailureKind.Preparation;
}
