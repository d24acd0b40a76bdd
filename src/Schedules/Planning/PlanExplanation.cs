using System.Collections.Immutable;
using System.Globalization;

namespace Pipeline.Schedules;

/// <summary>Why a plan is as it is, in sentences.</summary>
internal static class PlanExplanation
{
    /// <param name="request">What was asked.</param>
    /// <param name="candidates">The choice first, what does not fit last.</param>
    /// <param name="alike">How many times as long counts as no difference.</param>
    public static IEnumerable<string> Of(PlanRequest request, ImmutableArray<PlanCandidate> candidates, double alike)
    {
        var misfits = candidates.Count(candidate => !candidate.Fits);
        if (!candidates[0].Fits)
        {
            var least = candidates.Where(candidate => candidate.PeakBytes > 0).MinBy(candidate => candidate.PeakBytes);
            yield return $"None of {candidates.Length} combinations fits: {(least is null ? candidates[0].Misfit : $"the smallest, {Planner.Name(least)}, needs {MiB(least.PeakBytes)} on its fullest rank")}.";
            yield break;
        }

        var choice = candidates[0];
        yield return Text($"{Planner.Name(choice)} is chosen of {candidates.Length} combinations, {misfits} of which do not fit: {choice.BubbleShare:P1} idle, {MiB(choice.PeakBytes)} at the peak.");
        if (candidates.FirstOrDefault(candidate => candidate.Fits && candidate.Kind == "1f1b" && candidate.MicroBatchSize == choice.MicroBatchSize && candidate.Recompute == choice.Recompute) is { } plain && plain.Kind != choice.Kind)
            yield return Text($"Against 1f1b with the same micro-batches it takes {choice.StepTime / plain.StepTime:P1} of the time and {choice.PeakBytes / (double)plain.PeakBytes:P0} of the memory.");
        if (candidates.Skip(1).FirstOrDefault(candidate => candidate.Fits) is { } second)
            yield return second.ComparedTime < choice.ComparedTime
                ? Text($"{Planner.Name(second)} would be {(choice.ComparedTime / second.ComparedTime) - 1:P2} faster, which is no difference, for {MiB(second.PeakBytes)}.")
                : Text($"Next comes {Planner.Name(second)}, {(second.ComparedTime / choice.ComparedTime) - 1:P1} slower.");
        if (choice.UnevenTime is { } uneven && uneven > choice.StepTime * alike)
            yield return Text($"Where durations differ by {request.Spread:P0} from time to time, as is assumed here, it takes {(uneven / choice.StepTime) - 1:P1} longer in the mean.");
        if (candidates.Where(candidate => !candidate.Fits && candidate.StepTime < choice.StepTime).MinBy(candidate => candidate.StepTime) is { } faster)
            yield return Text($"{Planner.Name(faster)} would be {1 - (faster.StepTime / choice.StepTime):P1} faster but does not fit: {faster.Misfit}.");
        if (choice.Costs is { } costs)
            yield return Text($"Its order is that of forwards, input and weight gradients that cost 1 : {costs.InputGradient / costs.Forward:0.##} : {costs.WeightGradient / costs.Forward:0.##} (pipeline.schedule.order-costs).");
        if (choice.Recompute.Everywhere is null)
            yield return $"Units recompute where memory asks for it, the first ones of a rank and as few as will do: {choice.Recompute} (pipeline.schedule.recompute). Which they are is found step by step, so that others may do with less.";
        if (choice.Method.Reservation() is { } reservation)
            yield return reservation;
        if (!request.Profile.IsMeasured)
            yield return $"The costs are {request.Profile.Source}, not measured: `pipeline profile` measures them.";
    }

    private static string MiB(long bytes) => Text($"{bytes / (double)(1 << 20):N0} MiB");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
