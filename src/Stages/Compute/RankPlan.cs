using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>What one rank is: its schedule, its stages with their memory, its ties. Owns the stages' models.</summary>
internal sealed class RankPlan : IDisposable
{
    private readonly Dictionary<int, StageModel> _models = [];
    private readonly Dictionary<int, IReadOnlyList<RemoteTie>> _ties = [];
    private readonly Dictionary<int, IReadOnlyList<Recomputation>> _recomputations = [];
    private readonly HashSet<(int Stage, int MicroBatch)> _recomputed;

    private readonly LiveSettings _live;

    private RankPlan(StageProtocol.AssignStage assignment, StageWorkload workload, Schedule schedule, LiveSettings live)
    {
        _live = live;
        Assignment = assignment;
        Workload = workload;
        Schedule = schedule;
        _recomputed = [.. schedule.Actions[Rank].Where(action => action.Kind is ActionKind.Recompute).Select(action => (action.Stage, action.MicroBatch))];
    }

    internal StageProtocol.AssignStage Assignment { get; }

    internal StageWorkload Workload { get; }

    internal Schedule Schedule { get; }

    internal int Rank => Assignment.Rank;

    internal int StageCount => Schedule.StageCount;

    /// <summary>The optimizer's settings of a step, with what an operator has changed.</summary>
    internal OptimizerSettings OptimizerAt(long step) => _live.Optimizer(Workload.Optimizer, step);

    /// <summary>The rank's stages by their numbers.</summary>
    internal IReadOnlyDictionary<int, StageModel> Models => _models;

    /// <summary>Whether it adds up what the stages contribute to a step: it holds stage 0.</summary>
    internal bool MakesTotals => _models.ContainsKey(0);

    /// <summary>The rank that adds up.</summary>
    internal int TotalsRank => Schedule.RankOfStage[0];

    internal IReadOnlyList<RemoteTie> TiesOf(int stage) => _ties[stage];

    /// <summary>Key of a step inside the rank: of no generation, since inputs are the same in all of them.</summary>
    internal StepKey KeyOf(long step, int attempt = 0) => new(Assignment.Layout.Run, Generation.None, attempt, step);

    /// <summary>What each unit of a stage drops in the forward of a micro-batch; null where the schedule does not recompute it.</summary>
    internal IReadOnlyList<Recomputation>? RecomputationOf(int stage, int microBatch) =>
        _recomputed.Contains((stage, microBatch)) ? _recomputations[stage] : null;

    /// <summary>A fresh decision about waiting for norms.</summary>
    internal BarrierChoice ChooseBarrier() => ChooseBarrier(Workload, Schedule);

    /// <summary>Builds the rank's stages: allocates, initialises, loads the state to start from.</summary>
    /// <exception cref="ScheduleException">The schedule's text cannot be read.</exception>
    internal static RankPlan Build(StageProtocol.AssignStage assignment, StageWorkload workload, IReadOnlyList<StateCopy> copies, LiveSettings live)
    {
        var schedule = ScheduleText.Parse(assignment.Layout.Schedule);
        var options = workload.Options with { RunsAhead = ChooseBarrier(workload, schedule).MayRunAhead };
        var plan = new RankPlan(assignment, workload with { Options = options }, schedule, live);
        try
        {
            plan.BuildModels();
            plan.Load(assignment.Start, copies);
            return plan;
        }
        catch
        {
            plan.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var model in _models.Values) model.Dispose();
        _models.Clear();
    }

    private void BuildModels()
    {
        var counts = Assignment.Layout.UnitCounts;
        var ties = new TieTable(Workload.Units, counts);
        foreach (var stage in Schedule.StagesOf(Rank))
        {
            var model = new StageModel(Workload.Units, counts.Take(stage).Sum(), counts[stage], Workload.Options);
            _models.Add(stage, model);
            _ties.Add(stage, ties.RemoteTiesOf(model, stage));
            _recomputations.Add(stage, Recomputations(counts.Take(stage).Sum(), counts[stage]));
        }
    }

    private void Load(StartingPoint start, IReadOnlyList<StateCopy> copies)
    {
        if (start.Kind == StartKind.Checkpoint) LoadCheckpoint(start.Step);
        else if (start.Kind == StartKind.Copies)
            foreach (var model in _models.Values) StateLoader.Load(model, copies);
    }

    private void LoadCheckpoint(long step)
    {
        var store = Workload.Checkpoints ?? throw new InvalidOperationException("A checkpoint is to be loaded, but the stage has no store.");
        // The coordinator has verified every byte; each tensor's hash is held against the manifest again as it is read.
        using var checkpoint = store.Open(step, verify: false);
        foreach (var model in _models.Values) StateLoader.Load(model, checkpoint);
    }

    // A schedule that recomputes where the run's units name nothing to drop means all of it.
    private IReadOnlyList<Recomputation> Recomputations(int first, int count)
    {
        var own = Workload.Recompute?.Skip(first).Take(count).ToArray() ?? [];
        return own.Any(kind => kind != Recomputation.None) ? own : [.. Enumerable.Repeat(Recomputation.Full, count)];
    }

    private static BarrierChoice ChooseBarrier(StageWorkload workload, Schedule schedule) => new(workload.Barrier, schedule);
}
