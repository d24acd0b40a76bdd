namespace Pipeline.Runs;

/// <summary>A line of <c>metrics.jsonl</c>.</summary>
/// <param name="Step">The committed step that it speaks of; the first is 1.</param>
public abstract record MetricsLine(long Step);

/// <summary>What one rank did during a step.</summary>
/// <param name="Rank">The rank.</param>
/// <param name="Busy">Seconds in which it computed.</param>
/// <param name="Wait">Seconds in which it waited for input.</param>
/// <param name="Bubble">Share of the step in which it did not compute, 0 to 1: waiting and idling.</param>
/// <param name="Discarded">Actions that ran in vain, since the step before was not what had been assumed; stands in the file where there are any.</param>
/// <param name="Exposed">Seconds of the waiting that were for other replicas; null where there are none.</param>
/// <param name="Sent">Bytes of tensors that it sent to other replicas; null where there are none.</param>
/// <param name="Seconds">Seconds from the end of its own former step to that of this one: ranks end their steps at different times. Null in files of earlier versions.</param>
/// <param name="Idle">Seconds in which it neither computed nor waited for input: busy + wait + idle = seconds. Null in files of earlier versions.</param>
public sealed record StageMetrics(
    int Rank, double Busy, double Wait, double Bubble, int Discarded = 0, double? Exposed = null, long? Sent = null, double? Seconds = null, double? Idle = null);

/// <summary>A training step. Numbers that are not finite are kept as NaN and stand in the file as null.</summary>
/// <param name="Step">The step.</param>
public sealed record StepMetrics(long Step) : MetricsLine(Step)
{
    /// <summary>Mean loss per token, in nats.</summary>
    public required double Loss { get; init; }

    /// <summary>Global norm of the gradient before clipping.</summary>
    public required double GradientNorm { get; init; }

    /// <summary>Learning rate of the update.</summary>
    public required double LearningRate { get; init; }

    /// <summary>Tokens of this step.</summary>
    public required long Tokens { get; init; }

    /// <summary>Seconds of this step, completion to completion, without evaluation and saving.</summary>
    public required double Seconds { get; init; }

    /// <summary>Idle time ÷ (ranks × step time), 0 to 1.</summary>
    public required double Bubble { get; init; }

    /// <summary>Whether the gradient was scaled down; null in files of earlier versions.</summary>
    public bool? Clipped { get; init; }

    /// <summary>Whether a rank had begun the step on weights that were taken back, and began it anew; null in files of earlier versions.</summary>
    public bool? Redone { get; init; }

    /// <summary>The assignment of ranks to nodes, counted from 1 at each start of the run, in which the step was committed; it never falls in between. Null for the unsplit trainer, and in files of earlier versions.</summary>
    public int? Generation { get; init; }

    /// <summary>One entry per rank.</summary>
    public required IReadOnlyList<StageMetrics> Stages { get; init; }

    /// <summary>Hash over weights and moments by unit, on the steps that have one; else null.</summary>
    public IReadOnlyDictionary<string, string>? Digest { get; init; }
}

/// <summary>An evaluation on the held-out documents, after a step.</summary>
/// <param name="Step">The step.</param>
/// <param name="ValidationLoss">Mean loss per token, in nats.</param>
/// <param name="BitsPerByte">The same per byte of text, in bits; comparable between tokenizers. Null where bytes are not known.</param>
public sealed record EvaluationMetrics(long Step, double ValidationLoss, double? BitsPerByte) : MetricsLine(Step);
