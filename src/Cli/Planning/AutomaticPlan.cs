using System.Collections.Immutable;
using Pipeline.Cli.Configuration;
using Pipeline.Nodes;
using Pipeline.Schedules;
using Pipeline.Training;

namespace Pipeline.Cli.Planning;

/// <summary>What <c>plan = auto</c> makes of a run: the planner's choice, carried over into settings and the run's plan.</summary>
/// <param name="Bound">The settings with the chosen micro-batches, which a resumed run keeps, since they are part of its bits.</param>
/// <param name="Choice">The choice.</param>
/// <param name="Explanation">Why.</param>
internal sealed record AutomaticPlan(BoundConfiguration Bound, PlanCandidate Choice, IReadOnlyList<string> Explanation)
{
    private static readonly Origin s_origin = new("chosen by plan = auto");

    /// <summary>Costs of the units where the choice has them, for predictions of the run; null for those of the machine at hand.</summary>
    public ModelProfile? Profile { get; init; }

    /// <summary>What each unit needs in a step, in seconds where costs are measured, on a node of speed 1.</summary>
    public IReadOnlyList<double> UnitSeconds { get; init; } = [];

    /// <summary>By rank of a pipeline, the speed of the node that the choice gives it.</summary>
    public IReadOnlyList<double> RankSpeeds { get; init; } = [];

    /// <summary>By rank of all replicas, the address of the node that the choice gives it; empty where there is no cluster.</summary>
    public IReadOnlyList<string> Nodes { get; init; } = [];

    /// <summary>Whether settings leave it to the program.</summary>
    public static bool IsWanted(BoundConfiguration bound) => bound.Configuration.Get(SettingsSchema.Plan) is PlanKind.Auto;

    /// <summary>Plans a run whose settings leave that to the program; null where they do not.</summary>
    /// <param name="bound">Settled settings.</param>
    /// <param name="keepsMicroBatches">Whether the size of the micro-batch must stay: a resumed run's does.</param>
    /// <param name="context">Where to say what goes on, should it last.</param>
    /// <param name="nodes">The nodes of the cluster that will train; null for this machine.</param>
    /// <exception cref="ScheduleException">Nothing fits.</exception>
    public static AutomaticPlan? For(BoundConfiguration bound, bool keepsMicroBatches, CommandContext context, IReadOnlyList<NodeStatus>? nodes = null)
    {
        if (!IsWanted(bound)) return null;
        using LateProgress progress = new(context, "looking for a plan");
        var world = nodes is null ? PlanWorld.ThisMachine(bound.Settings) : PlanWorld.OfCluster(bound.Settings, nodes);
        var isGiven = keepsMicroBatches || IsGiven(bound.Configuration, SettingsSchema.MicroBatches) || IsGiven(bound.Configuration, SettingsSchema.MicroBatchSize);
        var plan = Planner.Find(PlanRequests.Of(bound.Settings, world, isGiven), progress);
        if (plan.Choice is not { } choice) throw new ScheduleException(string.Join(' ', plan.Explanation));
        var configuration = isGiven
            ? bound.Configuration
            : bound.Configuration.With(SettingsSchema.MicroBatches, choice.MicroBatchCount, s_origin).With(SettingsSchema.MicroBatchSize, choice.MicroBatchSize, s_origin);
        return Of(RunSettingsBinder.Bind(configuration), world, choice, [$"For {world.Description}.", .. plan.Explanation]);
    }

    /// <summary>A choice, with what is known of the world that it was made for.</summary>
    internal static AutomaticPlan Of(BoundConfiguration bound, PlanWorld world, PlanCandidate choice, IReadOnlyList<string> explanation)
    {
        var (rankCount, places) = (choice.NodeOfRank.Length, world.Places);
        // Memory is the profile's: what a schedule holds beside it is its own.
        ImmutableArray<UnitProfile> units = [.. world.Profile.For(choice.MicroBatchSize).Zip(choice.Units, (unit, onNode) => unit.WithTimesOf(onNode))];
        double[] speeds = [.. choice.NodeOfRank.Select(node => world.Ranks[node].Speed)];
        int[] ranks = [.. choice.Partition.SelectMany((range, stage) => Enumerable.Repeat(choice.Schedule!.RankOfStage[stage], range.Count))];
        return new AutomaticPlan(bound, choice, explanation)
        {
            Profile = places.Count == 0 ? null : world.Profile with
            {
                Source = world.Profile.IsMeasured ? "those of the nodes of the plan" : world.Profile.Source,
                BySize = ImmutableSortedDictionary<int, ImmutableArray<UnitProfile>>.Empty.Add(choice.MicroBatchSize, units),
            },
            UnitSeconds = [.. units.Select((unit, index) => ((choice.MicroBatchCount * unit.WorkUnder(choice.Schedule!.UsesSplitBackward, choice.Recompute[index])) + unit.Optimizer) * speeds[ranks[index]])],
            RankSpeeds = speeds,
            // Each replica has the nodes of its own places in the same order.
            Nodes = [.. Enumerable.Range(0, places.Count).Select(rank => places[(rank / rankCount * rankCount) + choice.NodeOfRank[rank % rankCount]])],
        };
    }

    /// <summary>The run's plan with the chosen schedule and stages.</summary>
    public TrainingPlan Apply(TrainingPlan plan) => plan with
    {
        ScheduleText = ScheduleText.Format(Choice.Schedule!),
        UnitCounts = [.. Choice.Partition.Select(range => range.Count)],
        Planned = new PlannedTimes([.. Choice.Partition.Select(range => range.Count)], Choice.RankBusy) { UnitSeconds = UnitSeconds, RankSpeeds = RankSpeeds },
        PlannedNodes = Nodes,
        Recompute = UnitRecomputations.Of(Choice.Recompute, plan.Units.Count),
    };

    /// <summary>The same choice spelled out in settings, down to the order of its actions, for a run that others lead.</summary>
    public BoundConfiguration Explicit() => RunSettingsBinder.Bind(Bound.Configuration
        .With(SettingsSchema.Plan, PlanKind.None, s_origin)
        .With(SettingsSchema.Schedule, Choice.Kind, s_origin)
        .With(SettingsSchema.VirtualStages, (long?)Choice.VirtualStages, s_origin)
        .With(SettingsSchema.MemoryCredit, (long?)Choice.MemoryCredit, s_origin)
        .With(SettingsSchema.OrderCosts, Choice.Costs is { } costs ? [costs.Forward, costs.InputGradient, costs.WeightGradient] : null, s_origin)
        .With(SettingsSchema.Recompute, Choice.Recompute, s_origin)
        .With(SettingsSchema.Partition, string.Join(',', Choice.Partition.Select(range => range.Count)), s_origin)
        .With(SettingsSchema.PlannedTimes, Numbers(Choice.RankBusy), s_origin)
        .With(SettingsSchema.PlannedUnits, UnitSeconds.Count > 0 ? Numbers(UnitSeconds) : null, s_origin)
        .With(SettingsSchema.PlannedSpeeds, RankSpeeds.Count > 0 ? Numbers(RankSpeeds) : null, s_origin)
        .With(SettingsSchema.PlannedNodes, Nodes.Count > 0 ? string.Join(',', Nodes) : null, s_origin));

    // What takes less than a nanosecond takes nothing.
    private static string Numbers(IEnumerable<double> numbers) => string.Join(',', numbers.Select(number => FormattableString.Invariant($"{Math.Max(number, 1e-9):0.#########}")));

    private static bool IsGiven(ResolvedConfiguration configuration, Setting setting) =>
        configuration.OriginOf(setting).Layer is var layer && layer != Presets.ReferenceLayer && !layer.StartsWith("preset ", StringComparison.Ordinal);
}
