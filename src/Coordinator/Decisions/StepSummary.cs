using Pipeline.Protocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>What one rank did in a step.</summary>
/// <param name="Rank">Rank.</param>
/// <param name="Timing">Where its time went.</param>
/// <param name="LiveTensorCount">Tensors alive in its process after the step.</param>
/// <param name="Spans">Its actions, when the step was traced.</param>
/// <param name="Span">The span of its part in the step's trace; 0 where nobody listens in its process.</param>
public sealed record RankSummary(int Rank, StepTiming Timing, long LiveTensorCount, IReadOnlyList<ExecutedSpan> Spans, ulong Span = 0);

/// <summary>A committed step over all ranks. Pure.</summary>
/// <param name="Step">Step.</param>
/// <param name="Loss">Mean loss in nats per token.</param>
/// <param name="GradientNorm">Global norm of the mean gradient, before clipping.</param>
/// <param name="LearningRate">Learning rate applied.</param>
/// <param name="TokenCount">Predicted tokens.</param>
/// <param name="Seconds">Completion to completion, without evaluation and saving: the ranks' mean.</param>
/// <param name="Bubble">Idle time ÷ (ranks × step time).</param>
/// <param name="Ranks">By rank.</param>
/// <param name="Digests">Hashes of the state in the model's order, when due.</param>
public sealed record StepSummary(
    long Step,
    double Loss,
    double GradientNorm,
    double LearningRate,
    long TokenCount,
    double Seconds,
    double Bubble,
    IReadOnlyList<RankSummary> Ranks,
    IReadOnlyList<ParameterDigest> Digests)
{
    /// <summary>Why no rank applied the step, so that its loss and norm are no numbers; null for a step that was applied.</summary>
    public NonFiniteStep? Fault { get; init; }

    /// <summary>Whether its gradient was scaled down.</summary>
    public bool IsClipped { get; init; }

    /// <summary>Whether a rank had begun it on weights that were taken back, since the step before was not what had been assumed, and began it anew.</summary>
    public bool IsRedone { get; init; }

    /// <summary>Number of the generation that committed it; null for the unsplit trainer, which has none. It falls at no step of a run but the first after a resume.</summary>
    public int? Generation { get; init; }

    /// <summary>Sums up the ranks' reports of one step. Where one was lost, no digest is given rather than a part of it.</summary>
    /// <param name="reports">Of the ranks that have reported it.</param>
    /// <param name="rankCount">All ranks.</param>
    /// <param name="computing">Ranks that compute: of those behind them no time is idle.</param>
    /// <param name="generation">The generation that commits it.</param>
    internal static StepSummary Of(IReadOnlyList<StepCompleted> reports, int rankCount, int computing, Generation generation)
    {
        var totals = reports[0].Totals;
        var timed = reports.Where(report => report.Rank < computing).DefaultIfEmpty(reports[0]).ToArray();
        var fault = NonFiniteStep.Of(reports[0].Step, totals);
        var seconds = timed.Average(report => report.Timing.Seconds);
        var busy = timed.Average(report => report.Timing.BusySeconds);
        return new StepSummary(
            reports[0].Step,
            fault is null ? totals.Loss : double.NaN,
            fault is null ? totals.GradientNorm : double.NaN,
            reports[0].LearningRate,
            totals.TokenCount,
            seconds,
            seconds > 0 ? Math.Max(0, 1 - busy / seconds) : 0,
            [.. reports.Select(report => new RankSummary(report.Rank, report.Timing, report.LiveTensorCount, report.Spans, report.Span))],
            reports.Count < rankCount ? [] : [.. reports.SelectMany(report => report.Digests).OrderBy(digest => digest.UnitIndex).ThenBy(digest => digest.ParameterIndex)])
        {
            Fault = fault,
            IsRedone = reports.Any(report => report.Timing.DiscardedActions > 0),
            Generation = generation.Number,
        };
    }
}
