using Pipeline.Schedules;

namespace Pipeline.Protocol;

/// <summary>
/// The replicas of a run and how its ranks are numbered: replica by replica, then those that add up beside them, if there are such. Replicas may cut the
/// model into other stages than each other. The only place that knows how numbers of ranks and places in a replica belong together. No actor, no tensor.
/// </summary>
public sealed class ReplicaMesh
{
    /// <summary>Stands for those that add up beside the replicas, where a replica is asked for.</summary>
    public const int Reducers = -1;

    // By replica, with one entry more for what comes behind the last.
    private readonly int[] _firstRanks;
    private readonly int[] _firstContributors;

    /// <param name="replicas">In their order, at least one.</param>
    /// <param name="hasReducers">Whether each rank of the first replica has a rank beside the replicas that adds up for its units; a single replica has none.</param>
    public ReplicaMesh(IReadOnlyList<ReplicaStages> replicas, bool hasReducers = false)
    {
        Replicas = replicas;
        ReducerCount = hasReducers && replicas.Count > 1 ? replicas[0].RankCount : 0;
        _firstRanks = Sums(replicas.Select(replica => replica.RankCount));
        _firstContributors = Sums(replicas.Select(replica => replica.StageCount));
    }

    /// <summary>The replicas.</summary>
    public IReadOnlyList<ReplicaStages> Replicas { get; }

    /// <summary>The first replica: what speaks for all where they need not all speak.</summary>
    public ReplicaStages First => Replicas[0];

    /// <summary>Number of replicas.</summary>
    public int ReplicaCount => Replicas.Count;

    /// <summary>Ranks of all replicas.</summary>
    public int ReplicaRankCount => _firstRanks[^1];

    /// <summary>Ranks behind these, which add up what the replicas contribute.</summary>
    public int ReducerCount { get; }

    /// <summary>All ranks.</summary>
    public int RankCount => ReplicaRankCount + ReducerCount;

    /// <summary>Whether all replicas have the same stages on the same ranks, so that a rank of one has its like in each other.</summary>
    public bool IsEven => Replicas.All(replica => ReferenceEquals(replica, First)
        || (replica.UnitCounts.SequenceEqual(First.UnitCounts) && replica.Schedule.RankOfStage.SequenceEqual(First.Schedule.RankOfStage)));

    /// <summary>The mesh of a layout.</summary>
    /// <exception cref="ScheduleException">A schedule cannot be read, or replicas are named that there are not.</exception>
    public static ReplicaMesh Of(PipelineLayout layout) =>
        OfRanks(layout.UnitCounts, layout.Schedule, layout.Others, layout.Ranks.Count - layout.ReducerCount, layout.ReducerCount > 0);

    /// <summary>As many replicas as make up a number of ranks.</summary>
    /// <param name="unitCounts">Units of each stage of the first replicas.</param>
    /// <param name="schedule">Their schedule, in text form.</param>
    /// <param name="others">Replicas with other stages or schedules; null for none.</param>
    /// <param name="rankCount">Ranks of all replicas.</param>
    /// <param name="hasReducers">Whether there are ranks beside these that add up.</param>
    /// <exception cref="ScheduleException">A schedule cannot be read, or replicas are named that there are not.</exception>
    public static ReplicaMesh OfRanks(IReadOnlyList<int> unitCounts, string schedule, IReadOnlyList<OtherReplicas>? others, int rankCount, bool hasReducers)
    {
        List<ReplicaStages> replicas = [];
        var left = rankCount;
        foreach (var replica in Endless(unitCounts, schedule, others))
        {
            if (replicas.Count > 0 && replica.RankCount > left) break;
            replicas.Add(replica);
            left -= replica.RankCount;
        }

        return Checked(replicas, others, hasReducers);
    }

    /// <summary>A number of replicas.</summary>
    /// <inheritdoc cref="OfRanks"/>
    public static ReplicaMesh OfReplicas(IReadOnlyList<int> unitCounts, string schedule, IReadOnlyList<OtherReplicas>? others, int replicaCount, bool hasReducers) =>
        Checked([.. Endless(unitCounts, schedule, others).Take(replicaCount)], others, hasReducers);

    /// <summary>The replica of a rank; of one that adds up beside them the number of replicas.</summary>
    public int ReplicaOf(int rank)
    {
        var replica = 0;
        while (replica < ReplicaCount && rank >= _firstRanks[replica + 1]) replica++;
        return replica;
    }

    /// <summary>A rank's place among those of its replica, which is its rank in the schedule; of one that adds up, among those.</summary>
    public int PlaceOf(int rank) => rank - _firstRanks[ReplicaOf(rank)];

    /// <summary>The stages and the schedule that a rank belongs to; one that adds up goes by the first replica's.</summary>
    public ReplicaStages StagesOf(int rank) => ReplicaOf(rank) is var replica && replica < ReplicaCount ? Replicas[replica] : First;

    /// <summary>The ranks of a replica.</summary>
    public IEnumerable<int> RanksOf(int replica) => Enumerable.Range(_firstRanks[replica], Replicas[replica].RankCount);

    /// <summary>The rank that holds a stage of a replica.</summary>
    public int RankOf(int replica, int stage) => _firstRanks[replica] + Replicas[replica].Schedule.RankOfStage[stage];

    /// <summary>The rank of a replica that holds a unit; for <see cref="Reducers"/> that which adds up the unit's gradient beside the replicas.</summary>
    public int RankOfUnit(int replica, int unit) => replica == Reducers ? ReplicaRankCount + First.RankOfUnit(unit) : _firstRanks[replica] + Replicas[replica].RankOfUnit(unit);

    /// <summary>Units that a rank holds; one that adds up holds none.</summary>
    public int UnitCountOf(int rank) => rank >= ReplicaRankCount ? 0 : StagesOf(rank).UnitsOfRank(PlaceOf(rank)).Count();

    /// <summary>Who contributes to a step's totals: the stages of all replicas, replica by replica.</summary>
    public int ContributorCount => _firstContributors[^1];

    /// <summary>The number under which a stage of a replica contributes.</summary>
    public int ContributorOf(int replica, int stage) => _firstContributors[replica] + stage;

    /// <summary>The replica and stage of a contributor.</summary>
    public (int Replica, int Stage) ContributorAt(int contributor)
    {
        var replica = 0;
        while (replica < ReplicaCount - 1 && contributor >= _firstContributors[replica + 1]) replica++;
        return (replica, contributor - _firstContributors[replica]);
    }

    /// <summary>
    /// Places in the model at which a stage of any replica begins, rising. What lies between two of them lies on one rank in each replica.
    /// </summary>
    public IReadOnlyList<int> Cuts => [.. Replicas.Distinct().SelectMany(replica => Enumerable.Range(0, replica.UnitCounts.Count).Select(replica.FirstUnitOf)).Distinct().Order()];

    /// <summary>Units between these places, in model order: the units of each stage where all replicas have the same.</summary>
    public IReadOnlyList<int> CommonUnitCounts => [.. Cuts.Zip(Cuts.Skip(1).Append(First.UnitCount), (start, end) => end - start)];

    /// <summary>Ranks of the replicas by what they hold: those of one group have the same units, and one rank of each group has all that there is.</summary>
    public IReadOnlyList<IReadOnlyList<int>> Alike => [.. Enumerable.Range(0, ReplicaRankCount)
        .GroupBy(rank => string.Join(',', StagesOf(rank).UnitsOfRank(PlaceOf(rank)))).Select(group => (IReadOnlyList<int>)[.. group])];

    /// <summary>Why replicas cannot train together, as a sentence; null where they can. Micro-batches are shared as evenly as can be, the first replicas have one more.</summary>
    public string? Fault()
    {
        var total = Replicas.Sum(replica => replica.Schedule.MicroBatchCount);
        for (var index = 0; index < ReplicaCount; index++)
        {
            var replica = Replicas[index];
            if (replica.UnitCounts.Count != replica.StageCount || replica.UnitCount != First.UnitCount)
                return $"Replica {index} has {replica.UnitCount} units on {replica.UnitCounts.Count} stages and a schedule of {replica.StageCount}: expected one of as many, and the {First.UnitCount} units of replica 0.";
            var share = total / ReplicaCount + (index < total % ReplicaCount ? 1 : 0);
            if (replica.Schedule.MicroBatchCount != share)
                return $"Replica {index} of {ReplicaCount} has a schedule of {replica.Schedule.MicroBatchCount} micro-batches: expected {share} of the step's {total}.";
        }

        return null;
    }

    private static ReplicaMesh Checked(IReadOnlyList<ReplicaStages> replicas, IReadOnlyList<OtherReplicas>? others, bool hasReducers)
    {
        var former = 0;
        foreach (var other in others ?? [])
        {
            if (other.FirstReplica <= former || other.FirstReplica >= replicas.Count)
                throw new ScheduleException($"Other stages are said to begin at replica {other.FirstReplica} of {replicas.Count}: expected numbers from 1 to {replicas.Count - 1}, rising.");
            former = other.FirstReplica;
        }

        return new ReplicaMesh(replicas, hasReducers);
    }

    /// <summary>Replica after replica; the last ones named go on for ever.</summary>
    private static IEnumerable<ReplicaStages> Endless(IReadOnlyList<int> unitCounts, string schedule, IReadOnlyList<OtherReplicas>? others)
    {
        ReplicaStages current = new(unitCounts, ScheduleText.Parse(schedule));
        for (var replica = 0; ; replica++)
        {
            if (others?.FirstOrDefault(one => one.FirstReplica == replica) is { } begun) current = new ReplicaStages(begun.UnitCounts, ScheduleText.Parse(begun.Schedule));
            yield return current;
        }
    }

    private static int[] Sums(IEnumerable<int> counts)
    {
        List<int> sums = [0];
        foreach (var count in counts) sums.Add(sums[^1] + count);
        return [.. sums];
    }
}
