using System.Collections.Immutable;

namespace Pipeline.Tests.Schedules;

/// <summary>
/// The shortest step that any schedule in a placement can have under given in-flight limits, where forward, input-gradient and
/// weight-gradient half take one unit each and messages none: breadth-first over the counts of what each stage has done. Micro-
/// batches are alike, so that index order loses nothing. Only for tiny sizes: at most five stages and 15 micro-batches.
/// </summary>
internal static class ShortestStep
{
    private const int BitsPerCount = 4;

    public static int Find(ImmutableArray<int> rankOfStage, int microBatchCount, int[] inFlightPerRank)
    {
        var stageCount = rankOfStage.Length;
        var done = Enumerable.Range(0, 3 * stageCount).Aggregate(0UL, (state, index) => state | ((ulong)microBatchCount << (BitsPerCount * index)));
        HashSet<ulong> seen = [0];
        List<ulong> level = [0];
        for (var time = 0; level.Count > 0; time++)
        {
            if (seen.Contains(done))
                return time;
            List<ulong> next = [];
            foreach (var state in level)
                Follow(state, state, 0, next);
            level = next;
        }

        throw new InvalidOperationException("no order comes to its end under these limits");

        // Every rank does one thing or nothing, all at once: what is possible is judged by the state before.
        void Follow(ulong before, ulong after, int rank, List<ulong> next)
        {
            if (rank == inFlightPerRank.Length)
            {
                if (seen.Add(after))
                    next.Add(after);
                return;
            }

            Follow(before, after, rank + 1, next);
            foreach (var choice in Choices(before, rank))
                Follow(before, after + (1UL << (BitsPerCount * choice)), rank + 1, next);
        }

        IEnumerable<int> Choices(ulong state, int rank)
        {
            int Count(int kind, int stage) => (int)(state >> (BitsPerCount * ((kind * stageCount) + stage))) & 15;
            var held = 0;
            for (var stage = 0; stage < stageCount; stage++)
                held += rankOfStage[stage] == rank ? Count(0, stage) - Count(2, stage) : 0;
            for (var stage = 0; stage < stageCount; stage++)
            {
                if (rankOfStage[stage] != rank)
                    continue;
                if (held < inFlightPerRank[rank] && Count(0, stage) < (stage == 0 ? microBatchCount : Count(0, stage - 1)))
                    yield return stage;
                if (Count(1, stage) < (stage == stageCount - 1 ? Count(0, stage) : Count(1, stage + 1)))
                    yield return stageCount + stage;
                if (Count(2, stage) < Count(1, stage))
                    yield return (2 * stageCount) + stage;
            }
        }
    }
}
