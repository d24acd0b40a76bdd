using Pipeline.Schedules;

namespace Pipeline.Protocol;

/// <summary>One replica of the pipeline: into which stages it cuts the model, and in which order its ranks work on them. No actor, no tensor.</summary>
/// <param name="unitCounts">Units of each stage, in model order.</param>
/// <param name="schedule">The actions of its part of a step.</param>
public sealed class ReplicaStages(IReadOnlyList<int> unitCounts, Schedule schedule)
{
    private readonly int[] _stageOfUnit = [.. unitCounts.SelectMany((count, stage) => Enumerable.Repeat(stage, count))];

    /// <summary>Units of each stage, in model order.</summary>
    public IReadOnlyList<int> UnitCounts => unitCounts;

    /// <summary>The actions of its part of a step.</summary>
    public Schedule Schedule => schedule;

    /// <summary>Its ranks.</summary>
    public int RankCount => schedule.RankCount;

    /// <summary>Its stages.</summary>
    public int StageCount => schedule.StageCount;

    /// <summary>Units of the model.</summary>
    public int UnitCount => _stageOfUnit.Length;

    /// <summary>Place in the model of a stage's first unit.</summary>
    public int FirstUnitOf(int stage) => unitCounts.Take(stage).Sum();

    /// <summary>Places in the model of a stage's units.</summary>
    public IEnumerable<int> UnitsOf(int stage) => Enumerable.Range(FirstUnitOf(stage), unitCounts[stage]);

    /// <summary>The stage that holds a unit.</summary>
    public int StageOfUnit(int unit) => _stageOfUnit[unit];

    /// <summary>The rank in the schedule that holds a unit.</summary>
    public int RankOfUnit(int unit) => schedule.RankOfStage[_stageOfUnit[unit]];

    /// <summary>Places in the model of the units that a rank of the schedule holds, rising.</summary>
    public IEnumerable<int> UnitsOfRank(int rank) => schedule.StagesOf(rank).SelectMany(UnitsOf);
}
