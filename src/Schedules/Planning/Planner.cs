using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.ExceptionServices;

namespace Pipeline.Schedules;

/// <summary>
/// Chooses partition, schedule, stages per rank, size of the micro-batch and recomputation together: every combination is
/// partitioned, generated, simulated, and the fastest that fits its memory wins: those near the fastest are simulated again with durations that
/// differ from action to action, and compared by the mean. Among those within half a percent of it the one
/// with the least memory is taken, then the one with fewest actions. Where recomputation is what makes a combination fit, it is tried on as few units of each rank as will
/// do, too (<see cref="PartialRecompute"/>). Combinations are independent of one another and are simulated on all
/// processors; the choice does not depend on how many there are.
/// </summary>
public static class Planner
{
    private const double Alike = 1.005;

    // What may still win where durations differ: the rest is not worth simulating again.
    private const double Near = 1.1;
    private const int DrawCount = 5;

    /// <summary>Tries all combinations.</summary>
    /// <param name="request">What is wanted, and what may be chosen.</param>
    /// <param name="progress">Told how far the search has come, by one thread at a time, whichever; null for nobody.</param>
    /// <exception cref="ScheduleException">No size of micro-batch divides the samples of a step, or there are more ranks than units.</exception>
    public static Plan Find(PlanRequest request, IProgress<PlanProgress>? progress = null)
    {
        var ordered = Ordered(request, Candidates(request, progress), progress);
        return new Plan(ordered, [.. PlanExplanation.Of(request, ordered, Alike)]);
    }

    /// <summary>A candidate in a few words.</summary>
    public static string Name(PlanCandidate candidate)
    {
        var perRank = candidate.VirtualStages > 1 ? $", {candidate.VirtualStages} stages a rank" : "";
        var recompute = candidate.Recompute.IsNone ? "" : candidate.Recompute.Everywhere is null ? $", recomputation by unit ({candidate.Recompute.Summary})" : $", {candidate.Recompute} recomputation";
        var credit = candidate.MemoryCredit is { } held ? $", {held} held" : "";
        return $"{candidate.Kind}{perRank}{credit}, {candidate.MicroBatchCount} × {candidate.MicroBatchSize} samples{recompute}";
    }

    private static ImmutableArray<PlanCandidate> Candidates(PlanRequest request, IProgress<PlanProgress>? progress)
    {
        var all = PlanCombination.All(request);
        // A schedule is made once for all its kinds of recomputation.
        var families = all.Select((combination, index) => (Combination: combination, Index: index)).GroupBy(one => one.Combination.Origin).Select(family => family.ToArray()).ToArray();
        var candidates = new ImmutableArray<PlanCandidate>[all.Length];
        Counter counter = new(PlanPhase.Simulating, all.Length, progress);
        InParallel(families, family =>
        {
            counter.Begins(family[0].Combination.Name);
            var plain = family[0].Combination.Kind.Generate(family[0].Combination.Shape);
            foreach (var (combination, index) in family)
            {
                counter.Begins(combination.Name);
                var everywhere = PlanEvaluation.Of(request, plain, combination.MicroBatchSize, UnitRecompute.All(combination.Recompute)).Candidate with
                {
                    MemoryCredit = combination.Shape.MemoryCredit,
                    Costs = combination.Costs,
                };
                candidates[index] = [everywhere, .. PartialRecompute.Of(request, plain, everywhere)];
                counter.Ended();
            }
        });
        return [.. candidates.SelectMany(one => one)];
    }

    private static ImmutableArray<PlanCandidate> Ordered(PlanRequest request, ImmutableArray<PlanCandidate> candidates, IProgress<PlanProgress>? progress)
    {
        var byCost = candidates.Where(candidate => candidate.Fits).OrderBy(candidate => candidate.StepTime).ToArray();
        var near = request.Spread > 0 ? byCost.TakeWhile(candidate => candidate.StepTime <= byCost[0].StepTime * Near).Count() : 0;
        Counter counter = new(PlanPhase.Comparing, near, progress);
        InParallel([.. Enumerable.Range(0, near)], index =>
        {
            counter.Begins(Name(byCost[index]));
            byCost[index] = byCost[index] with { UnevenTime = PlanEvaluation.UnevenTime(request, byCost[index], DrawCount) };
            counter.Ended();
        });
        var fitting = byCost.OrderBy(candidate => candidate.UnevenTime is null).ThenBy(candidate => candidate.ComparedTime).ToList();
        if (fitting.Count > 0)
        {
            var choice = fitting.Where(candidate => candidate.ComparedTime <= fitting[0].ComparedTime * Alike && (candidate.UnevenTime is null) == (fitting[0].UnevenTime is null))
                .OrderBy(candidate => candidate.PeakBytes).ThenBy(candidate => candidate.Schedule!.Actions.Sum(row => row.Length)).First();
            fitting.Remove(choice);
            fitting.Insert(0, choice);
        }

        return [.. fitting, .. candidates.Where(candidate => !candidate.Fits).OrderBy(candidate => candidate.StepTime)];
    }

    private static void InParallel<T>(T[] items, Action<T> action)
    {
        try
        {
            // One at a time: combinations differ much in what they take.
            Parallel.ForEach(System.Collections.Concurrent.Partitioner.Create(items, EnumerablePartitionerOptions.NoBuffering), action);
        }
        catch (AggregateException faults)
        {
            ExceptionDispatchInfo.Throw(faults.InnerExceptions[0]);
        }
    }

    /// <summary>Counts what is done and tells of it.</summary>
    private sealed class Counter(PlanPhase phase, int total, IProgress<PlanProgress>? progress)
    {
        private readonly Lock _gate = new();
        private string _subject = "";
        private int _done;

        public void Begins(string subject)
        {
            lock (_gate)
            {
                _subject = subject;
                Tell();
            }
        }

        public void Ended()
        {
            lock (_gate)
            {
                _done++;
                Tell();
            }
        }

        private void Tell() => progress?.Report(new PlanProgress(phase, _done, total, _subject));
    }
}
