using System.Collections.Immutable;

namespace Pipeline.Tests.Schedules;

/// <summary>
/// The shortest step that any schedule in a placement can have under given in-flight limits, where forward, input-gradient and
/// weight-gradient half take one unit each and messages none: breadth-first over the counts of what each stage has done. Micro-
/// batches are alike, so that index order loses nothing. Only for tiny sizes.
/// </summary>
internal static class ShortestStep
{
    public static int Find(ImmutableArray<int> rankOfStage, int microBatchCount, int[] inFlightPerRank)
    {
        var stageCount = rankOfStage.Length;
        var done = Enumerable.Repeat(microBatchCount, 3 * stageCount).ToArray();
        HashSet<string> seen = [];
        List<int[]> level = [new int[3 * stageCount]];
        for (var time = 0; ; time++)
        {
            List<int[]> next = [];
            foreach (var state in level)
            {
                if (state.AsSpan().SequenceEqual(done))
                    return time;
                foreach (var follower in Followers(state, 0))
                    if (seen.Add(string.Join(',', follower)))
                        next.Add(follower);
            }

            level = next;

            // Every rank does one thing or nothing, all at once: what is possible is judged by the state before.
            IEnumerable<int[]> Followers(int[] state, int rank)
            {
                if (rank == inFlightPerRank.Length)
                    return [[.. state]];
                var choices = Choices(state, rank).ToArray();
                return choices.Length == 0
                    ? Followers(state, rank + 1)
                    : choices.SelectMany(choice => Followers(state, rank + 1).Select(follower => Bumped(follower, choice)));
            }
        }

        int[] Bumped(int[] state, int index)
        {
            state[index]++;
            return state;
        }

        IEnumerable<int> Choices(int[] state, int rank)
        {
            int Count(int kind, int stage) => state[(kind * stageCount) + stage];
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
