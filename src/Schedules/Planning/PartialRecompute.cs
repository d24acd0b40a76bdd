using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// Recomputation on as few units as memory asks for: earlier ranks hold more micro-batches at a time than later ones, so that what all would have to recompute for
/// the sake of the fullest, most need not. A stated heuristic: on the division of a combination in which every unit recomputes, the first units of each rank go on
/// doing it, as few as will fit, and the others drop less; then units are divided anew by what they cost now, and each rank's fewest are found again. What is
/// fastest of these is taken.
/// </summary>
internal static class PartialRecompute
{
    // The second division is by costs that are nearly those of its own outcome.
    private const int RoundCount = 2;

    /// <summary>For each lighter policy that a request allows, the best that was found; nothing where all units can do with it, or none can.</summary>
    /// <param name="request">What is wanted.</param>
    /// <param name="plain">The combination's schedule without recomputation and the step's end.</param>
    /// <param name="everywhere">The combination where every unit recomputes in the same way.</param>
    public static IEnumerable<PlanCandidate> Of(PlanRequest request, Schedule plain, PlanCandidate everywhere)
    {
        if (!everywhere.Fits || everywhere.Recompute.Everywhere is not { } heavy) yield break;
        foreach (var light in PlanCombination.Policies(request).Where(policy => policy < heavy).Order())
        {
            if (new Search(request, plain, everywhere, heavy, light).Find() is { } found) yield return found;
        }
    }

    private sealed class Search(PlanRequest request, Schedule plain, PlanCandidate everywhere, RecomputePolicy heavy, RecomputePolicy light)
    {
        private readonly ImmutableArray<UnitProfile> _units = request.UnitsFor(everywhere.MicroBatchSize, plain);
        private readonly Schedule _recomputing = RecomputePass.Apply(plain, Enumerable.Range(0, plain.StageCount));

        public PlanCandidate? Find()
        {
            PlanCandidate? best = null;
            var division = new StageDivision(everywhere.Partition, everywhere.NodeOfRank, everywhere.Method);
            for (var round = 0; round < RoundCount; round++)
            {
                var recompute = Least(division);
                if (recompute.Everywhere is not null) break;
                var candidate = PlanEvaluation.Evaluate(request, everywhere with { Recompute = recompute }, _units, _recomputing, division).Candidate;
                if (candidate.Fits && (best is null || candidate.StepTime < best.StepTime)) best = candidate;
                var next = new DivisionSearch(request, plain, _recomputing, _units, everywhere.MicroBatchSize, recompute).Find();
                if (next.Stages.SequenceEqual(division.Stages) && next.NodeOfRank.SequenceEqual(division.NodeOfRank)) break;
                division = next;
            }

            return best;
        }

        // What a rank holds does not depend on what the units of others drop.
        private UnitRecompute Least(StageDivision division)
        {
            var policies = Enumerable.Repeat(light, _units.Length).ToArray();
            for (var rank = 0; rank < plain.RankCount; rank++)
            {
                int[] own = [.. plain.StagesOf(rank).SelectMany(stage => Enumerable.Range(division.Stages[stage].Start, division.Stages[stage].Count))];
                var room = request.Ranks[division.NodeOfRank[rank]].MemoryBytes;
                var (low, high) = (0, own.Length);
                // With none of them first: most ranks need none.
                for (var count = 0; low < high; count = (low + high) / 2)
                {
                    if (Fits(count)) high = count;
                    else low = count + 1;
                }

                Drop(low);

                bool Fits(int count)
                {
                    Drop(count);
                    var memory = StageProfile.Of(_units, division.Stages, recompute: UnitRecompute.Of(policies)).Memory;
                    return MemoryUse.FirstOver(_recomputing, rank, memory, room) is null;
                }

                void Drop(int count)
                {
                    for (var index = 0; index < own.Length; index++) policies[own[index]] = index < count ? heavy : light;
                }
            }

            return UnitRecompute.Of(policies);
        }
    }
}
