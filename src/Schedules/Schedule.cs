using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>What a schedule is for.</summary>
public enum ScheduleMode : byte
{
    /// <summary>Every micro-batch goes forward and backward.</summary>
    Train,

    /// <summary>Every micro-batch goes forward only; nothing is kept.</summary>
    Evaluate,
}

/// <summary>
/// The order of work of one step: per rank, the list of actions that its stages run one after the other. Immutable data,
/// equal by content, with an exact text form (<see cref="ScheduleText"/>). It is not a promise to be runnable: that is
/// what <see cref="ScheduleValidator"/> proves. What the constructor ensures is only that every index lies in range.
/// </summary>
public sealed class Schedule : IEquatable<Schedule>
{
    // Tables over (stage, micro-batch) are indexed by int; a text's header must not be able to ask for more memory than there is.
    private const int MaxCellCount = 1 << 26;

    private readonly ImmutableArray<ImmutableArray<int>> _stagesOfRank;

    /// <param name="name">One word, as in the text form's header.</param>
    /// <param name="mode">Training or evaluation.</param>
    /// <param name="microBatchCount">Micro-batches of a step, at least 1.</param>
    /// <param name="rankOfStage">For each virtual stage the rank that holds it; every rank holds at least one.</param>
    /// <param name="actions">For each rank its actions in order.</param>
    /// <exception cref="ScheduleException">An index is out of range, or the name is not one word.</exception>
    public Schedule(
        string name,
        ScheduleMode mode,
        int microBatchCount,
        ImmutableArray<int> rankOfStage,
        ImmutableArray<ImmutableArray<StageAction>> actions)
    {
        Name = name;
        Mode = mode;
        MicroBatchCount = microBatchCount;
        RankOfStage = rankOfStage;
        Actions = actions;
        TiedStages = [];
        CheckShape();
        _stagesOfRank = [.. Enumerable.Range(0, RankCount).Select(StagesHeldBy)];
        for (var rank = 0; rank < RankCount; rank++)
            CheckActions(rank);
    }

    /// <summary>One word; a schedule that bears a registered generator's name is held to that generator's limits.</summary>
    public string Name { get; }

    /// <summary>Training or evaluation.</summary>
    public ScheduleMode Mode { get; }

    /// <summary>Micro-batches of a step.</summary>
    public int MicroBatchCount { get; }

    /// <summary>For each virtual stage, in the model's order, the rank that holds it.</summary>
    public ImmutableArray<int> RankOfStage { get; }

    /// <summary>For each rank its actions in the order in which it runs them.</summary>
    public ImmutableArray<ImmutableArray<StageAction>> Actions { get; }

    /// <summary>True once <see cref="StepEndPass"/> has added what ends a training step.</summary>
    public bool EndsStep { get; private init; }

    /// <summary>The stages that hold a parameter which another stage holds too; only these run a tied sum. Ascending.</summary>
    public ImmutableArray<int> TiedStages { get; private init; }

    /// <summary>The number of ranks: places that run one action at a time.</summary>
    public int RankCount => Actions.Length;

    /// <summary>The number of virtual stages over all ranks.</summary>
    public int StageCount => RankOfStage.Length;

    /// <summary>True where some backward is split into I and W: such a schedule needs an executor that can split.</summary>
    public bool UsesSplitBackward { get; private set; }

    /// <summary>True where gradients are added up over replicas: such a schedule has S on every stage, and G, or A, too.</summary>
    public bool Reduces => EndsStep && Actions.Any(row => row.Any(action => action.Kind is ActionKind.ReduceScatter));

    /// <summary>True where each replica updates a share of the weights: such a schedule has S and A on every stage.</summary>
    public bool SharesOptimizer => Reduces && Has(ActionKind.WeightGather);

    /// <summary>True where replicas take steps of their own and bring their weights together from time to time: such a schedule has A alone on every stage.</summary>
    public bool StepsLocally => EndsStep && !Reduces && Has(ActionKind.WeightGather);

    /// <summary>True where the schedule has any action that replicas exchange something in.</summary>
    public bool Exchanges => ExchangeLetters.Length > 0;

    /// <summary>The letters of those actions, as in <c>S and G</c>; empty without any.</summary>
    public string ExchangeLetters => string.Join(" and ", new[] { ActionKind.ReduceScatter, ActionKind.AllGather, ActionKind.WeightGather }.Where(Has).Select(kind => kind.Letter()));

    /// <summary>The stages of a rank, in the model's order.</summary>
    public ImmutableArray<int> StagesOf(int rank) => _stagesOfRank[rank];

    /// <summary>The place of a (stage, micro-batch) pair in a table of <see cref="CellCount"/> entries.</summary>
    internal int Cell(int stage, int microBatch) => (stage * MicroBatchCount) + microBatch;

    /// <summary>The number of (stage, micro-batch) pairs.</summary>
    internal int CellCount => StageCount * MicroBatchCount;

    /// <summary>The same schedule with other actions.</summary>
    /// <exception cref="ScheduleException">An index is out of range.</exception>
    public Schedule WithActions(ImmutableArray<ImmutableArray<StageAction>> actions) =>
        new(Name, Mode, MicroBatchCount, RankOfStage, actions) { EndsStep = EndsStep, TiedStages = TiedStages };

    /// <summary>The same actions, declared to end the step; used by the pass and by the text form.</summary>
    internal Schedule DeclareStepEnd(ImmutableArray<int> tiedStages)
    {
        foreach (var stage in tiedStages)
            if (stage < 0 || stage >= StageCount)
                throw new ScheduleException($"Tied stage {stage} does not exist: the schedule has stages 0 to {StageCount - 1}.");
        return new(Name, Mode, MicroBatchCount, RankOfStage, Actions)
        {
            EndsStep = true,
            TiedStages = [.. tiedStages.Distinct().Order()],
        };
    }

    /// <inheritdoc/>
    public bool Equals(Schedule? other) =>
        other is not null
        && string.Equals(Name, other.Name, StringComparison.Ordinal)
        && Mode == other.Mode
        && MicroBatchCount == other.MicroBatchCount
        && EndsStep == other.EndsStep
        && TiedStages.AsSpan().SequenceEqual(other.TiedStages.AsSpan())
        && RankOfStage.AsSpan().SequenceEqual(other.RankOfStage.AsSpan())
        && RankCount == other.RankCount
        && Actions.Zip(other.Actions).All(pair => pair.First.AsSpan().SequenceEqual(pair.Second.AsSpan()));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Schedule);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Name, Mode, MicroBatchCount, StageCount, RankCount, Actions.Sum(row => row.Length));

    /// <summary>The text form.</summary>
    public override string ToString() => ScheduleText.Format(this);

    private bool Has(ActionKind kind) => Actions.Any(row => row.Any(action => action.Kind == kind));

    private ImmutableArray<int> StagesHeldBy(int rank) =>
        [.. Enumerable.Range(0, StageCount).Where(stage => RankOfStage[stage] == rank)];

    private void CheckShape()
    {
        if (Name.Length == 0 || Name.Any(character => char.IsWhiteSpace(character) || character is '=' or '#'))
            throw new ScheduleException($"'{Name}' cannot name a schedule: expected one word without '=' or '#'.");
        if (MicroBatchCount < 1)
            throw new ScheduleException($"Schedule {Name} has {MicroBatchCount} micro-batches: expected at least 1.");
        if ((long)StageCount * MicroBatchCount > MaxCellCount)
            throw new ScheduleException($"Schedule {Name} has {StageCount} stages × {MicroBatchCount} micro-batches: expected at most {MaxCellCount} pairs.");
        if (RankCount < 1)
            throw new ScheduleException($"Schedule {Name} has no ranks: expected one line of actions per rank.");
        var held = new bool[RankCount];
        for (var stage = 0; stage < StageCount; stage++)
        {
            var rank = RankOfStage[stage];
            if (rank < 0 || rank >= RankCount)
                throw new ScheduleException($"Schedule {Name} places stage {stage} on rank {rank}: expected a rank from 0 to {RankCount - 1}.");
            held[rank] = true;
        }

        if (Array.IndexOf(held, value: false) is var idle and >= 0)
            throw new ScheduleException($"Schedule {Name} places no stage on rank {idle}: every rank holds at least one stage.");
    }

    private void CheckActions(int rank)
    {
        for (var position = 0; position < Actions[rank].Length; position++)
        {
            var action = Actions[rank][position];
            UsesSplitBackward |= action.Kind is ActionKind.InputGradient;
            if (action.Stage < 0 || action.Stage >= StageCount)
                throw OutOfRange(rank, position, $"stage {action.Stage}, expected 0 to {StageCount - 1}");
            if (action.Kind.IsStepLevel() != (action.MicroBatch == StageAction.NoMicroBatch))
                throw OutOfRange(rank, position, "a micro-batch where the kind has none, or none where it needs one");
            if (!action.Kind.IsStepLevel() && (action.MicroBatch < 0 || action.MicroBatch >= MicroBatchCount))
                throw OutOfRange(rank, position, $"micro-batch {action.MicroBatch}, expected 0 to {MicroBatchCount - 1}");
        }
    }

    private ScheduleException OutOfRange(int rank, int position, string found) =>
        new($"Schedule {Name}, rank {rank}, action {position + 1} ({Actions[rank][position]}) has {found}.");
}
