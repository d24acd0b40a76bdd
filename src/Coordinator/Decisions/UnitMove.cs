namespace Pipeline.Coordinator;

/// <summary>One unit that goes to a stage beside its own. Stages are units in a row, so only one at the edge can go. Pure.</summary>
/// <param name="To">The stage that takes it.</param>
/// <param name="UnitCounts">Units of each stage afterwards.</param>
internal sealed record UnitMove(int To, IReadOnlyList<int> UnitCounts)
{
    /// <summary>Decides.</summary>
    /// <param name="unit">Its place in the model.</param>
    /// <param name="names">Names of all units.</param>
    /// <param name="counts">Units of each stage now.</param>
    /// <param name="isThere">Whether a stage lies where the unit is to go.</param>
    /// <returns>The move, or why there is none.</returns>
    internal static (UnitMove? Move, string Refusal) Decide(int unit, IReadOnlyList<string> names, IReadOnlyList<int> counts, Func<int, bool> isThere)
    {
        var stage = 0;
        var first = 0;
        while (unit >= first + counts[stage]) first += counts[stage++];
        var last = first + counts[stage] - 1;
        if (isThere(stage)) return (null, $"Unit {names[unit]} is there already: it belongs to stage {stage}.");
        int[] beside = [.. new[] { stage - 1, stage + 1 }.Where(other => other >= 0 && other < counts.Count && isThere(other))];
        if (beside.Length == 0)
            return (null, $"Unit {names[unit]} belongs to stage {stage}, and stages are units in a row: only stage {(stage == 0 ? "1" : stage == counts.Count - 1 ? $"{stage - 1}" : $"{stage - 1} or {stage + 1}")} can take it, and that is elsewhere. `stages` says where; `move RANK NODE` moves a rank as a whole.");
        if (first == last) return (null, $"Unit {names[unit]} is all that stage {stage} has, and a stage without units cannot be. `move RANK NODE` moves the rank as a whole.");
        foreach (var to in beside)
        {
            if (unit != (to < stage ? first : last)) continue;
            return (new UnitMove(to, [.. counts.Select((count, index) => index == stage ? count - 1 : index == to ? count + 1 : count)]), "");
        }

        var edge = beside[0] < stage ? first : last;
        return (null, $"Unit {names[unit]} is not at the edge of stage {stage}: {names[edge]} lies between it and stage {beside[0]}, and has to go first.");
    }
}
