using System.Diagnostics;
using Pipeline.Protocol;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>
/// Settles a rank's steps. A step whose outcome was known at its optimizer is settled with it; one that was taken ahead stays open, at most
/// one at a time, until its outcome comes: then master weights and moments follow if all is as assumed, else the step is done again from
/// them, and whatever was begun of the next one is void. Either way the bits are those of a rank that had waited.
/// </summary>
internal sealed class StepSettlement(
    RankPlan plan, StageInbox inbox, TotalsExchange totals, StepRecorder recorder, BarrierChoice choice, Action<SettledStep> settled)
{
    private OpenStep? _open;

    /// <summary>Whether no step is open: master weights and moments are those after the last step.</summary>
    internal bool IsSettled => _open is null;

    /// <summary>The totals that the rank is to hear of while it waits for something else; null if no step is open.</summary>
    internal AwaitedTotals? Awaited => _open is { } open ? totals.Of(open.Key) : null;

    /// <summary>The next step's <see cref="StepKey.Attempt"/>: what is known of the former step, or assumed.</summary>
    internal int NextAttempt { get; private set; } = plan.FirstAttempt;

    /// <summary>The last step whose outcome is known.</summary>
    internal StepOutcome? Last { get; private set; }

    /// <summary>Whether the next step waits for its norm.</summary>
    internal bool WaitsForNorm => choice.WaitsForNorm;

    /// <summary>Whether no step follows, by request.</summary>
    internal bool HasEnded => Last is { IsLast: true };

    /// <summary>Enters a finished step: with its outcome, or without where it was taken ahead.</summary>
    internal void Finish(StepKey key, StepOutcome? outcome, long tokenCount, StepTiming timing, IReadOnlyList<ExecutedSpan> spans, ulong span)
    {
        var step = new OpenStep(key, tokenCount, timing, spans, span);
        if (outcome is not null)
        {
            Close(step, outcome);
            return;
        }

        _open = step;
        NextAttempt = 0;
    }

    /// <summary>Waits for the outcome of the open step, if there is one, and acts on it.</summary>
    /// <returns>Whether what was begun of the next step stands.</returns>
    internal bool Settle()
    {
        if (_open is not { } open) return true;
        var asked = Stopwatch.GetTimestamp();
        var (outcome, ready) = totals.Take(open.Key);
        if (outcome.TokenCount != open.TokenCount)
            throw new InvalidOperationException($"Step {open.Key.Step}: rank {plan.Rank} counted {open.TokenCount} tokens, the last stage {outcome.TokenCount}.");
        _open = null;
        var optimizer = plan.OptimizerAt(open.Key.Step);
        var factor = optimizer.GradientFactor(outcome.GradientNorm, outcome.TokenCount);
        var isAsAssumed = outcome.Verdict == StepVerdict.Apply && factor == Assumed(open);
        var stands = isAsAssumed && !outcome.IsLast;
        if (!stands) recorder.Discard();
        foreach (var stage in plan.Schedule.StagesOf(plan.Rank))
        {
            var started = Stopwatch.GetTimestamp();
            var model = plan.Models[stage];
            if (isAsAssumed) model.CommitAhead(open.Key.Step, optimizer, factor);
            else if (outcome.Verdict == StepVerdict.Apply) model.OptimizerStep(open.Key.Step, optimizer, factor);
            else model.ForgetAhead();
            recorder.Record(StageAction.StepLevel(stage, ActionKind.Optimizer), asked, ready, started);
        }

        Close(open, outcome);
        return stands;
    }

    private double Assumed(OpenStep open) => plan.Workload.Optimizer.UnclippedFactor(open.TokenCount);

    private void Close(OpenStep step, StepOutcome outcome)
    {
        // Whoever went ahead of a step that is clipped, or passed over, has begun the next one on weights that are taken back.
        var isSkipped = outcome.Verdict != StepVerdict.Apply;
        var isClipped = isSkipped || plan.OptimizerAt(step.Key.Step).Clips(outcome.GradientNorm);
        // Replicas that step by themselves know that a step is passed over before they exchange anything: what a meeting did not send stays owed.
        if (isSkipped && !plan.StepsLocally) plan.Residuals.Forget();
        Last = outcome;
        // Where the state is copied every rank waits for the outcome, and one that starts from the copy need not know it.
        NextAttempt = isClipped && !plan.CopiesAfter(step.Key.Step) ? 1 : 0;
        choice.Settled(isClipped);
        inbox.FinishPhase(StageInbox.StepPhase(step.Key.Step));
        settled(new SettledStep(step.Key.Step, outcome, step.Timing, step.Spans, step.Span));
    }

    private sealed record OpenStep(StepKey Key, long TokenCount, StepTiming Timing, IReadOnlyList<ExecutedSpan> Spans, ulong Span);
}

/// <summary>A step that is done on one rank: its state, if it was applied, is in the master weights and moments.</summary>
/// <param name="Step">Step.</param>
/// <param name="Outcome">What the whole step amounted to.</param>
/// <param name="Timing">Where the rank's time went.</param>
/// <param name="Spans">Its actions, where they are recorded.</param>
/// <param name="Span">The span of the rank's part in the step's trace; 0 for none.</param>
internal sealed record SettledStep(long Step, StepOutcome Outcome, StepTiming Timing, IReadOnlyList<ExecutedSpan> Spans, ulong Span);
