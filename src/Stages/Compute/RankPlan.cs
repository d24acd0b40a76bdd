using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Reduction.Topologies;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>What one rank is: its replica, its schedule, its stages with their memory, its ties. Owns the stages' models.</summary>
internal sealed class RankPlan : IDisposable
{
    private readonly Dictionary<int, StageModel> _models = [];
    private readonly Dictionary<int, IReadOnlyList<RemoteTie>> _ties = [];

    private RankPlan(StageProtocol.AssignStage assignment, StageWorkload workload, Schedule schedule)
    {
        Assignment = assignment;
        Workload = workload;
        Schedule = schedule;
        var replicaCount = Math.Max(1, assignment.Layout.Ranks.Count / schedule.RankCount);
        Place = new ReplicaPlace(
            assignment.Rank / schedule.RankCount, LeafShare.Even(schedule.MicroBatchCount * replicaCount, replicaCount), workload.Summation);
    }

    internal StageProtocol.AssignStage Assignment { get; }

    internal StageWorkload Workload { get; }

    internal Schedule Schedule { get; }

    /// <summary>Which replica of the pipeline the rank belongs to.</summary>
    internal ReplicaPlace Place { get; }

    /// <summary>The rank in the schedule of its replica; ranks of the run count replica by replica.</summary>
    internal int Rank => Assignment.Rank % Schedule.RankCount;

    internal int StageCount => Schedule.StageCount;

    /// <summary>The rank's stages by their numbers.</summary>
    internal IReadOnlyDictionary<int, StageModel> Models => _models;

    /// <summary>Whether it adds up what the stages contribute to a step: it holds stage 0 of the first replica.</summary>
    internal bool MakesTotals => Assignment.Rank == TotalsRank;

    /// <summary>The rank that adds up.</summary>
    internal int TotalsRank => Schedule.RankOfStage[0];

    /// <summary>The rank of the run that holds a stage of a replica.</summary>
    internal int RankOf(int stage, int replica) => replica * Schedule.RankCount + Schedule.RankOfStage[stage];

    /// <summary>The rank of the run that holds a stage of the same replica.</summary>
    internal int RankOf(int stage) => RankOf(stage, Place.Index);

    internal IReadOnlyList<RemoteTie> TiesOf(int stage) => _ties[stage];

    /// <summary>Key of a step inside the rank: of no generation, since inputs are the same in all of them.</summary>
    internal StepKey KeyOf(long step) => new(Assignment.Layout.Run, Generation.None, 0, step);

    /// <summary>Builds the rank's stages: allocates, initialises, loads the state to start from.</summary>
    /// <exception cref="ScheduleException">The schedule cannot be run by this executor.</exception>
    internal static RankPlan Build(StageProtocol.AssignStage assignment, StageWorkload workload, IReadOnlyList<StateCopy> copies)
    {
        var schedule = ScheduleText.Parse(assignment.Layout.Schedule);
        RequireRunnable(schedule, assignment.Rank % schedule.RankCount);
        var plan = new RankPlan(assignment, workload, schedule);
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

    /// <summary>Gradients are added as backwards finish, so their order is part of the bits: only index order is canonical.</summary>
    private static void RequireRunnable(Schedule schedule, int rank)
    {
        var unknown = schedule.Actions[rank].FirstOrDefault(action => action.Kind is ActionKind.InputGradient or ActionKind.WeightGradient or ActionKind.Recompute);
        if (unknown.Kind is not ActionKind.Forward)
            throw new ScheduleException($"Schedule {schedule.Name} has {unknown}; this executor runs forwards and whole backwards only.");
        foreach (var backwards in schedule.Actions[rank].Where(action => action.Kind is ActionKind.Backward).GroupBy(action => action.Stage))
        {
            if (!backwards.Select(action => action.MicroBatch).SequenceEqual(Enumerable.Range(0, schedule.MicroBatchCount)))
                throw new ScheduleException($"Schedule {schedule.Name} runs the backwards of stage {backwards.Key} out of index order, in which gradients are to be added.");
        }
    }
}
