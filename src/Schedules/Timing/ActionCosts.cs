using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// How long each action takes, per stage and kind, and how long a message travels between ranks. Any unit of time, the
/// same for all.
/// </summary>
public sealed class ActionCosts
{
    private readonly ImmutableArray<ImmutableArray<double>> _byKind;

    private ActionCosts(ImmutableArray<ImmutableArray<double>> byKind, double hopLatency)
    {
        _byKind = byKind;
        HopLatency = hopLatency;
    }

    /// <summary>The time from the end of an action on one rank to the moment its output can be used on another.</summary>
    public double HopLatency { get; }

    /// <summary>The number of stages that have costs.</summary>
    public int StageCount => _byKind[0].Length;

    /// <summary>The same costs for every stage: by default one unit forward and two backward.</summary>
    public static ActionCosts Uniform(int stageCount, double forward = 1, double backward = 2, double hopLatency = 0) =>
        PerStage([.. Enumerable.Repeat(forward, stageCount)], [.. Enumerable.Repeat(backward, stageCount)], hopLatency);

    /// <summary>
    /// Costs per stage. The halves of a backward take half of it each, a recompute as long as the forward, the step's end
    /// nothing, until <c>With</c> says otherwise.
    /// </summary>
    /// <exception cref="ArgumentException">The lengths differ, or a cost is not a finite number from 0.</exception>
    public static ActionCosts PerStage(ImmutableArray<double> forward, ImmutableArray<double> backward, double hopLatency = 0)
    {
        RequireCosts([.. forward, .. backward, hopLatency]);
        if (forward.Length != backward.Length)
            throw new ArgumentException($"{forward.Length} forward costs but {backward.Length} backward costs", nameof(backward));
        ImmutableArray<double> half = [.. backward.Select(cost => cost / 2)];
        ImmutableArray<double> none = [.. forward.Select(_ => 0.0)];
        return new ActionCosts([forward, backward, half, half, forward, .. Enumerable.Repeat(none, ActionKinds.Count - (int)ActionKind.ReduceScatter)], hopLatency);
    }

    /// <summary>The same costs but for one kind.</summary>
    /// <exception cref="ArgumentException">There is not one cost per stage, or a cost is not a finite number from 0.</exception>
    public ActionCosts With(ActionKind kind, ImmutableArray<double> costPerStage)
    {
        RequireCosts(costPerStage);
        ArgumentOutOfRangeException.ThrowIfNotEqual(costPerStage.Length, StageCount, nameof(costPerStage));
        return new ActionCosts(_byKind.SetItem((int)kind, costPerStage), HopLatency);
    }

    /// <summary>The same cost of one kind on every stage.</summary>
    public ActionCosts With(ActionKind kind, double cost) => With(kind, [.. Enumerable.Repeat(cost, StageCount)]);

    /// <summary>The duration of an action.</summary>
    public double Of(StageAction action) => _byKind[(int)action.Kind][action.Stage];

    private static void RequireCosts(ImmutableArray<double> costs)
    {
        foreach (var cost in costs)
            if (!double.IsFinite(cost) || cost < 0)
                throw new ArgumentException($"a cost is {cost}: expected a finite number from 0", nameof(costs));
    }
}
