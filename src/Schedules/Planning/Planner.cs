using System.Collections.Immutable;
using System.Globalization;

namespace Pipeline.Schedules;

/// <summary>
/// Chooses partition, schedule, stages per rank, size of the micro-batch and recomputation together: every combination is
/// partitioned, generated, simulated, and the fastest that fits its memory wins: those near the fastest are simulated again with durations that
/// differ from action to action, and compared by the mean. Among those within half a percent of it the one
/// with the least memory is taken, then the one with fewest actions.
/// </summary>
public static class Planner
{
    private const double Alike = 1.005;

    // What may still win where durations differ: the rest is not worth simulating again.
    private const double Near = 1.1;
    private const int DrawCount = 5;

    /// <summary>Tries all combinations.</summary>
    /// <exception cref="ScheduleException">No size of micro-batch divides the samples of a step, or there are more ranks than units.</exception>
    public static Plan Find(PlanRequest request)
    {
        var sizes = request.MicroBatchSizes.Where(size => size >= 1 && request.SamplesPerStep % size == 0).Distinct().Order().ToArray();
        if (sizes.Length == 0)
            throw new ScheduleException($"No size of micro-batch among {string.Join(", ", request.MicroBatchSizes)} divides the {request.SamplesPerStep} samples of a step.");
        var knowsSelective = request.Profile.BySize.First().Value.Any(unit => unit.SelectiveKeptBytes < unit.KeptBytes);
        var candidates = new List<PlanCandidate>();
        foreach (var size in sizes)
            foreach (var kind in request.Kinds)
                foreach (var perRank in request.VirtualStages.Where(kind.StagesPerRank.Allows))
                    foreach (var recompute in request.Recomputes.Where(policy => policy is not RecomputePolicy.Selective || knowsSelective))
                        if (perRank * request.Ranks.Length <= request.Profile.UnitCount)
                            foreach (var shape in Shapes(kind, new ScheduleShape(request.Ranks.Length, request.SamplesPerStep / size, perRank)))
                            {
                                var plain = Fitting(kind, request.Profile.For(size), recompute).Generate(shape);
                                candidates.Add(PlanEvaluation.Of(request, plain, size, recompute).Candidate with { MemoryCredit = shape.MemoryCredit });
                            }

        if (candidates.Count == 0)
            throw new ScheduleException($"Cannot split {request.Profile.UnitCount} units over {request.Ranks.Length} ranks: each needs at least one unit. Lower pipeline.parallelism.pipeline or add layers.");
        var ordered = Ordered(request, candidates);
        return new Plan(ordered, [.. Explain(request, ordered)]);
    }

    // What a rank may hold ahead is what the work-conserving order lives on: its own default, twice that, and all there is.
    private static IEnumerable<ScheduleShape> Shapes(IScheduleGenerator kind, ScheduleShape shape)
    {
        yield return shape;
        if (kind is not Greedy)
            yield break;
        var all = shape.MicroBatchCount * shape.VirtualStagesPerRank;
        foreach (var credit in new[] { 2 * shape.StageCount, all }.Where(credit => credit > shape.StageCount && credit <= all).Distinct())
            yield return shape with { MemoryCredit = credit };
    }

    // The work-conserving order is found with the model's own proportions.
    private static IScheduleGenerator Fitting(IScheduleGenerator kind, ImmutableArray<UnitProfile> units, RecomputePolicy recompute)
    {
        if (kind is not Greedy)
            return kind;
        var forward = units.Sum(unit => unit.Forward);
        return new Greedy(forward, units.Sum(unit => unit.InputGradient) + units.Sum(unit => unit.RecomputeUnder(recompute)), units.Sum(unit => unit.WeightGradient));
    }

    private static ImmutableArray<PlanCandidate> Ordered(PlanRequest request, List<PlanCandidate> candidates)
    {
        var byCost = candidates.Where(candidate => candidate.Fits).OrderBy(candidate => candidate.StepTime).ToArray();
        var fitting = byCost.Select(candidate => candidate.StepTime <= byCost[0].StepTime * Near && request.Spread > 0
                ? candidate with { UnevenTime = PlanEvaluation.UnevenTime(request, candidate, DrawCount) }
                : candidate)
            .OrderBy(candidate => candidate.UnevenTime is null).ThenBy(Time).ToList();
        if (fitting.Count > 0)
        {
            var choice = fitting.Where(candidate => Time(candidate) <= Time(fitting[0]) * Alike && (candidate.UnevenTime is null) == (fitting[0].UnevenTime is null))
                .OrderBy(candidate => candidate.PeakBytes).ThenBy(candidate => candidate.Schedule!.Actions.Sum(row => row.Length)).First();
            fitting.Remove(choice);
            fitting.Insert(0, choice);
        }

        return [.. fitting, .. candidates.Where(candidate => !candidate.Fits).OrderBy(candidate => candidate.StepTime)];
    }

    // Candidates are compared by what they take where durations differ.
    private static double Time(PlanCandidate candidate) => candidate.UnevenTime ?? candidate.StepTime;

    private static IEnumerable<string> Explain(PlanRequest request, ImmutableArray<PlanCandidate> candidates)
    {
        var misfits = candidates.Count(candidate => !candidate.Fits);
        if (!candidates[0].Fits)
        {
            var least = candidates.Where(candidate => candidate.PeakBytes > 0).MinBy(candidate => candidate.PeakBytes);
            yield return $"None of {candidates.Length} combinations fits: {(least is null ? candidates[0].Misfit : $"the smallest, {Name(least)}, needs {MiB(least.PeakBytes)} on its fullest rank")}.";
            yield break;
        }

        var choice = candidates[0];
        yield return Text($"{Name(choice)} is chosen of {candidates.Length} combinations, {misfits} of which do not fit: {choice.BubbleShare:P1} idle, {MiB(choice.PeakBytes)} at the peak.");
        if (candidates.FirstOrDefault(candidate => candidate.Fits && candidate.Kind == "1f1b" && candidate.MicroBatchSize == choice.MicroBatchSize && candidate.Recompute == choice.Recompute) is { } plain && plain.Kind != choice.Kind)
            yield return Text($"Against 1f1b with the same micro-batches it takes {choice.StepTime / plain.StepTime:P1} of the time and {choice.PeakBytes / (double)plain.PeakBytes:P0} of the memory.");
        if (candidates.Skip(1).FirstOrDefault(candidate => candidate.Fits) is { } second)
            yield return Time(second) < Time(choice)
                ? Text($"{Name(second)} would be {(Time(choice) / Time(second)) - 1:P2} faster, which is no difference, for {MiB(second.PeakBytes)}.")
                : Text($"Next comes {Name(second)}, {(Time(second) / Time(choice)) - 1:P1} slower.");
        if (choice.UnevenTime is { } uneven && uneven > choice.StepTime * Alike)
            yield return Text($"Where durations differ by {request.Spread:P0} from time to time, as is assumed here, it takes {(uneven / choice.StepTime) - 1:P1} longer in the mean.");
        if (candidates.Where(candidate => !candidate.Fits && candidate.StepTime < choice.StepTime).MinBy(candidate => candidate.StepTime) is { } faster)
            yield return Text($"{Name(faster)} would be {1 - (faster.StepTime / choice.StepTime):P1} faster but does not fit: {faster.Misfit}.");
        if (choice.Method.Reservation() is { } reservation)
            yield return reservation;
        if (!request.Profile.IsMeasured)
            yield return $"The costs are {request.Profile.Source}, not measured: `pipeline profile` measures them.";
    }

    /// <summary>A candidate in a few words.</summary>
    public static string Name(PlanCandidate candidate)
    {
        var perRank = candidate.VirtualStages > 1 ? $", {candidate.VirtualStages} stages a rank" : "";
        var recompute = candidate.Recompute is RecomputePolicy.None ? "" : $", {candidate.Recompute.ToString().ToLowerInvariant()} recomputation";
        var credit = candidate.MemoryCredit is { } held ? $", {held} held" : "";
        return $"{candidate.Kind}{perRank}{credit}, {candidate.MicroBatchCount} × {candidate.MicroBatchSize} samples{recompute}";
    }

    private static string MiB(long bytes) => Text($"{bytes / (double)(1 << 20):N0} MiB");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
