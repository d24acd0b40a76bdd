using Pipeline.Model.Units;
using Pipeline.Schedules;

namespace Pipeline.Cli.Planning;

/// <summary>From what units recompute, as schedules have it, to what the model does.</summary>
internal static class UnitRecomputations
{
    /// <summary>By unit; null where nothing, or all but a unit's input, is dropped everywhere: the schedule alone says which.</summary>
    public static IReadOnlyList<Recomputation>? Of(UnitRecompute recompute, int unitCount) => recompute.Everywhere is RecomputePolicy.None or RecomputePolicy.Full
        ? null
        : [.. Enumerable.Range(0, unitCount).Select(unit => recompute[unit] switch
        {
            RecomputePolicy.Full => Recomputation.Full,
            RecomputePolicy.Selective => Recomputation.Selective,
            _ => Recomputation.None,
        })];
}
