using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>What one rank is: its replica, its schedule, its stages with their memory, its ties. Owns the stages' models.</summary>
internal sealed class RankPlan : IDisposable
{
    private readonly Dictionary<int, StageModel> _models = [];
    private readonly Dictionary<int, IReadOnlyList<RemoteTie>> _ties = [];
    private readonly Dictionary<int, IReadOnlyList<Recomputation>> _recomputations = [];
    private readonly HashSet<(int Stage, int MicroBatch)> _recomputed;

    private readonly LiveSettings _live;

    private RankPlan(StageProtocol.AssignStage assignment, StageWorkload workload, ReplicaShare share, LiveSettings live)
    {
        _live = live;
        Reduction = workload.Reduction with
        {
            Contributions = Switched(workload.Reduction.Contributions, SettingKind.GradientCompression),
            Answers = Switched(workload.Reduction.Answers, SettingKind.AnswerCompression),
        };
        Assignment = assignment;
        Workload = workload;
        (Mesh, Own) = (share.Mesh, share.Own);
        Place = new ReplicaPlace(share.Index, share.Shares, workload.Summation) { Machines = assignment.Layout.Machines };
        if (workload.SharesOptimizer && Place.Count > 1) Owners = new OptimizerOwners(workload.Units, Mesh.CommonUnitCounts, Place.Count);
        _recomputed = [.. Schedule.Actions[Rank].Where(action => action.Kind is ActionKind.Recompute).Select(action => (action.Stage, action.MicroBatch))];
    }

    internal StageProtocol.AssignStage Assignment { get; }

    internal StageWorkload Workload { get; }

    /// <summary>All replicas, and how ranks are numbered.</summary>
    internal ReplicaMesh Mesh { get; }

    /// <summary>The stages and the schedule of its replica; a reducer goes by the first one's.</summary>
    internal ReplicaStages Own { get; }

    internal Schedule Schedule => Own.Schedule;

    /// <summary>The <see cref="StepKey.Attempt"/> of the first step after the state that it starts from.</summary>
    internal int FirstAttempt { get; private set; }

    /// <summary>Which replica of the pipeline the rank belongs to.</summary>
    internal ReplicaPlace Place { get; }

    /// <summary>Who holds the optimizer state of which parameter; null where every replica holds all of it.</summary>
    internal OptimizerOwners? Owners { get; }

    /// <summary>Whether the rank's replica speaks for all: they hold the same, or it holds a share.</summary>
    internal bool Speaks => !IsReducer && (Place.Index == 0 || Owners is not null);

    /// <summary>How replicas add their gradients up, with what is decided of it while the run is under way.</summary>
    internal ReductionSettings Reduction { get; }

    /// <summary>What compression has lost so far, and what else the replicas' exchange has to remember.</summary>
    internal ResidualStore Residuals { get; } = new();

    /// <summary>Whether replicas take steps of their own, and bring their weights together from time to time.</summary>
    internal bool StepsLocally => Place.Count > 1 && Workload.Reduction.Outer is not null;

    /// <summary>Whether replicas exchange something in a step: in every one, unless they take steps of their own.</summary>
    internal bool MeetsAfter(long step) => !StepsLocally || Workload.Reduction.Outer?.Follows(step) == true;

    /// <summary>
    /// What the rank writes into a checkpoint beside its stages: what its exchange remembers, once where all replicas remember the same; and of a
    /// replica that has weights and moments of its own these, under its name.
    /// </summary>
    internal IEnumerable<StateTensor> StateBesideStages()
    {
        if (!StepsLocally || Place.Index == 0) return Residuals.State;
        return Residuals.State.Where(tensor => !ResidualStore.IsOf(OuterWeights.Prefix, tensor.Name))
            .Concat(_models.Values.SelectMany(model => model.State()).Select(tensor => tensor with { Unit = "", Name = OwnName(tensor.Name), IsMoment = true }));
    }

    /// <summary>The rank in the schedule of its replica.</summary>
    internal int Rank => Mesh.PlaceOf(Assignment.Rank);

    internal int StageCount => Schedule.StageCount;

    /// <summary>The optimizer's settings of a step, with what an operator has changed.</summary>
    internal OptimizerSettings OptimizerAt(long step) => _live.Optimizer(Workload.Optimizer, step);

    /// <summary>Whether every rank copies its state after a step, so that none goes ahead of its outcome.</summary>
    internal bool CopiesAfter(long step) => _live.Protection(step).CopiesAfter(step);

    /// <summary>The rank's stages by their numbers.</summary>
    internal IReadOnlyDictionary<int, StageModel> Models => _models;

    /// <summary>Whether it adds up what the stages contribute to a step: it holds stage 0 of the first replica.</summary>
    internal bool MakesTotals => Assignment.Rank == TotalsRank;

    /// <summary>The rank that adds up.</summary>
    internal int TotalsRank => Mesh.RankOf(replica: 0, stage: 0);

    /// <summary>Whether it computes nothing, and adds up for the replicas what they contribute.</summary>
    internal bool IsReducer => Place.Index == Place.Count;

    /// <summary>The rank of the run that holds a stage of the same replica.</summary>
    internal int RankOf(int stage) => Mesh.RankOf(Place.Index, stage);

    /// <summary>The number under which a stage of the rank contributes to a step's totals.</summary>
    internal int ContributorOf(int stage) => Mesh.ContributorOf(Place.Index, stage);

    /// <summary>The number of the files of its replica's first stage in a checkpoint: one that does not speak for others writes none.</summary>
    internal int FirstPart => IsReducer ? 0 : ContributorOf(0);

    /// <summary>Parts of a checkpoint: one a stage of the first replica, and where each replica holds a share one a stage of each.</summary>
    internal int PartCount => Owners is null ? Mesh.First.StageCount : Mesh.ContributorCount;

    /// <summary>Places in a stage of the rank at which a stage of any replica begins.</summary>
    internal IReadOnlyCollection<int> CutsOf(int stage) => [.. Mesh.Cuts.Select(cut => cut - Own.FirstUnitOf(stage)).Where(place => place >= 0 && place < Own.UnitCounts[stage])];

    internal IReadOnlyList<RemoteTie> TiesOf(int stage) => _ties[stage];

    /// <summary>Key of a step inside the rank: of no generation, since inputs are the same in all of them.</summary>
    internal StepKey KeyOf(long step, int attempt = 0) => new(Assignment.Layout.Run, Generation.None, attempt, step);

    /// <summary>What each unit of a stage drops in the forward of a micro-batch; null where the schedule does not recompute it.</summary>
    internal IReadOnlyList<Recomputation>? RecomputationOf(int stage, int microBatch) =>
        _recomputed.Contains((stage, microBatch)) ? _recomputations[stage] : null;

    /// <summary>A fresh decision about waiting for norms.</summary>
    internal BarrierChoice ChooseBarrier() => ChooseBarrier(Workload, Schedule, Place.Reduces);

    /// <summary>Builds the rank's stages: allocates, initialises, loads the state to start from.</summary>
    /// <exception cref="ScheduleException">The schedule's text cannot be read.</exception>
    internal static RankPlan Build(StageProtocol.AssignStage assignment, StageWorkload workload, IReadOnlyList<StateCopy> copies, LiveSettings live)
    {
        var share = ReplicaShare.Of(assignment.Layout, assignment.Rank);
        var reduces = workload.Summation == Summation.Invariant || share.Shares.Count > 1;
        var options = workload.Options with { RunsAhead = ChooseBarrier(workload, share.Own.Schedule, reduces).MayRunAhead };
        var plan = new RankPlan(assignment, workload with { Options = options }, share, live);
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
        Residuals.Dispose();
    }

    private void BuildModels()
    {
        if (IsReducer) return;
        var ties = new TieTable(Workload.Units, Own.UnitCounts);
        var options = Owners is { } owners ? Workload.Options with { Owns = parameter => owners[parameter] == Place.Index, FreesGradients = Workload.SharesGradients } : Workload.Options;
        foreach (var stage in Schedule.StagesOf(Rank))
        {
            var (first, count) = (Own.FirstUnitOf(stage), Own.UnitCounts[stage]);
            var model = new StageModel(Workload.Units, first, count, options);
            _models.Add(stage, model);
            // A replica that does not hold the sum of a tied parameter has nothing to add to it.
            _ties.Add(stage, [.. ties.RemoteTiesOf(model, stage).Where(tie => tie.Tie.Parameter.IsOwned)]);
            _recomputations.Add(stage, Recomputations(first, count));
        }
    }

    private void Load(StartingPoint start, IReadOnlyList<StateCopy> copies)
    {
        if (start.Kind == StartKind.Checkpoint) LoadCheckpoint(start.Step);
        if (start.Kind == StartKind.Copies)
        {
            foreach (var model in _models.Values) StateLoader.Load(model, copies);
            Residuals.Load(copies);
            FirstAttempt = copies.Select(copy => copy.NextAttempt).DefaultIfEmpty(0).Max();
        }

        foreach (var model in _models.Values) SharedWeight.Restore(model, Residuals, Owners is not null);
    }

    private void LoadCheckpoint(long step)
    {
        var store = Workload.Checkpoints ?? throw new InvalidOperationException("A checkpoint is to be loaded, but the stage has no store.");
        // The coordinator has verified every byte; each tensor's hash is held against the manifest again as it is read.
        var checkpoint = store.Open(step, verify: false);
        // Also where nothing is compressed now: an operator may have had it compressed before, and what was lost is still owed.
        // Exact weights beside shared ones are taken by a single replica too, which goes on with them.
        Residuals.Load(checkpoint, name => Place.Count > 1 || ResidualStore.IsOf(SharedWeight.Prefix, name));
        foreach (var model in _models.Values)
        {
            StateLoader.Load(model, checkpoint);
            if (StepsLocally && Place.Index > 0) StateLoader.LoadWhereThere(model, checkpoint, OwnName);
        }
    }

    private CompressionSettings Switched(CompressionSettings settings, SettingKind direction) => settings with
    {
        IsOn = step => Workload.Reduction.Trial?.CompressesAt(step) ?? _live.Compresses(step),
        Instead = step => _live.CompressionOf(direction, step),
    };

    private string OwnName(string tensor) => ResidualStore.NameOf(FormattableString.Invariant($"{ReplicaPlace.Prefix}{Place.Index}.{tensor}"));

    // A schedule that recomputes where the run's units name nothing to drop means all of it.
    private IReadOnlyList<Recomputation> Recomputations(int first, int count)
    {
        var own = Workload.Recompute?.Skip(first).Take(count).ToArray() ?? [];
        return own.Any(kind => kind != Recomputation.None) ? own : [.. Enumerable.Repeat(Recomputation.Full, count)];
    }

    // Between replicas nothing is begun on weights that may be taken back: what they have sent each other could not be.
    private static BarrierChoice ChooseBarrier(StageWorkload workload, Schedule schedule, bool reduces) =>
        new(reduces ? OptimizerBarrier.On : workload.Barrier, schedule);
}
