using Pipeline.Model.Units;

namespace Pipeline.Stages;

/// <summary>Which stages of a partition share parameters: what a schedule must know to give them a tied sum. Pure.</summary>
public static class StageTies
{
    /// <summary>The stages that hold an end of a tie whose other end lies elsewhere: those that a schedule gives a tied sum.</summary>
    public static IReadOnlyList<int> TiedStages(IReadOnlyList<Unit> units, IReadOnlyList<int> unitCounts)
    {
        var stageOfUnit = unitCounts.SelectMany((count, stage) => Enumerable.Repeat(stage, count)).ToArray();
        var stageOfParameter = units.SelectMany((unit, index) => unit.Parameters.Select(spec => (Name: unit.FullName(spec), Stage: stageOfUnit[index])))
            .ToDictionary(pair => pair.Name, pair => pair.Stage, StringComparer.Ordinal);
        var ends = units.SelectMany((unit, index) => unit.Parameters.Select(spec => spec.TiedTo).OfType<string>()
            .Select(owner => (Owner: stageOfParameter[owner], User: stageOfUnit[index])));
        return [.. ends.Where(tie => tie.Owner != tie.User).SelectMany(tie => new[] { tie.Owner, tie.User }).Distinct().Order()];
    }
}
