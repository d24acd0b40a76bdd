using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Schedules;
using static Pipeline.Protocol.NeighbourProtocol;

namespace Pipeline.Stages;

/// <summary>
/// What others may send to a rank at all, by its place in the schedule: anything else is refused before memory is taken for it, and could otherwise lie
/// untaken until its step ends. It says nothing of contents: who holds a certificate of the role is trusted with these. A value.
/// </summary>
internal sealed class AwaitedInputs
{
    private readonly int _rank;
    private readonly PipelineLayout _layout;
    private readonly ReplicaMesh _mesh;
    private readonly Schedule _schedule;
    private readonly HashSet<int> _stages;
    private readonly HashSet<int> _units;
    private readonly int _rowCount;
    private readonly int _roundCount;

    private AwaitedInputs(int rank, PipelineLayout layout, ReplicaMesh mesh)
    {
        (_rank, _layout, _mesh) = (rank, layout, mesh);
        var own = mesh.StagesOf(rank);
        _schedule = own.Schedule;
        _stages = [.. _schedule.StagesOf(mesh.PlaceOf(rank))];
        _units = [.. own.UnitsOfRank(mesh.PlaceOf(rank))];
        // Those that add up beside the replicas send under the number after the last replica.
        _rowCount = mesh.ReplicaCount + (mesh.ReducerCount > 0 ? 1 : 0);
        // The first replicas have the most micro-batches.
        _roundCount = mesh.First.Schedule.MicroBatchCount;
    }

    /// <summary>By unit of the model, parameters in the norm, once the rank has its units; empty before.</summary>
    internal IReadOnlyList<int> SquareCounts { get; private init; } = [];

    /// <summary>Whether each replica says the squares of its share, rather than the first those of all.</summary>
    internal bool AllSpeak { get; private init; }

    private int Replica => _mesh.ReplicaOf(_rank);

    /// <summary>What a rank awaits in a layout; null where its schedule cannot be read, which the rank reports.</summary>
    internal static AwaitedInputs? Of(int rank, PipelineLayout layout)
    {
        try
        {
            var mesh = ReplicaMesh.Of(layout);
            return mesh.Replicas.All(replica => replica.StageCount == replica.UnitCounts.Count) ? new AwaitedInputs(rank, layout, mesh) : null;
        }
        catch (ScheduleException)
        {
            return null;
        }
    }

    /// <summary>The same, once the rank's units are known.</summary>
    internal AwaitedInputs With(RankPlan plan) => new(_rank, _layout, _mesh)
    {
        SquareCounts = [.. plan.Workload.Units.Select(unit => unit.Parameters.Count(parameter => parameter.TiedTo is null))],
        AllSpeak = plan.Owners is not null || plan.StepsLocally,
    };

    /// <summary>Why a frame is refused, as a clause; null if it may come.</summary>
    internal string? FaultOf(FrameHeader header) => FaultOf(header.Key) ?? (header.Tensors is [{ DataType: var type }] && IsTypeOf(header.Key.Kind, type)
        ? null
        : $"{header.Key.Kind} {header.Key.Edge} of step {header.Key.Step.Step} with {string.Join(", ", header.Tensors.Select(tensor => tensor.DataType))}");

    /// <summary>Why a tensor is refused, as a clause; null if it may come.</summary>
    internal string? FaultOf(FrameKey key) => IsAwaited(key)
        ? null
        : $"{key.Kind}, edge {key.Edge}, micro-batch {key.MicroBatch}, slice {key.Slice}, attempt {key.Step.Attempt} of step {key.Step.Step}, which rank {_rank} never awaits";

    /// <summary>Why a note is refused, as a clause; null if it may come.</summary>
    internal string? FaultOf(INote note) => note switch
    {
        SquaredNorms { Squares: not null, Losses: not null } squares => FaultOf(squares),
        StepTotals { Outcome: not null } totals when IsOfStep(totals.Step) => null,
        _ => $"a note of attempt {note.Step.Attempt} of step {note.Step.Step} that says nothing",
    };

    private static bool IsOfStep(StepKey step) => step.Step > 0 && step.Attempt is (0 or 1);

    private string? FaultOf(SquaredNorms squares)
    {
        if (!IsOfStep(squares.Step) || squares.Stage < 0 || squares.Stage >= _mesh.ContributorCount || _rank != _mesh.RankOf(replica: 0, stage: 0))
            return $"squares of contributor {squares.Stage} to step {squares.Step.Step}, which rank {_rank} never awaits";
        var (replica, stage) = _mesh.ContributorAt(squares.Stage);
        var sender = _mesh.Replicas[replica];
        var losses = stage == sender.StageCount - 1 ? sender.Schedule.MicroBatchCount : 0;
        if (squares.Losses.Count != losses || squares.TokenCount < 0 || (losses == 0 && squares.TokenCount > 0))
            return $"squares of contributor {squares.Stage} to step {squares.Step.Step} with {squares.Losses.Count} losses, expected are {losses}";
        if (SquareCounts.Count == 0) return null;
        var count = replica == 0 || AllSpeak ? sender.UnitsOf(stage).Sum(unit => SquareCounts[unit]) : 0;
        return squares.Squares.Count == count ? null : $"{squares.Squares.Count} squares of contributor {squares.Stage} to step {squares.Step.Step}, expected are {count}";
    }

    private bool IsAwaited(FrameKey key) => key.Step.Step >= 0 && key.Step.Attempt is (0 or 1) && key.Kind switch
    {
        FrameKind.Activation => IsBetweenStages(key, key.Edge + 1, _schedule.MicroBatchCount),
        FrameKind.Gradient => IsBetweenStages(key, key.Edge, _schedule.MicroBatchCount) && key.Edge < _schedule.StageCount - 1,
        FrameKind.EvaluationActivation => Replica == 0 && key.Step.Attempt == 0 && IsBetweenStages(key, key.Edge + 1, _layout.Cadence.EvaluationMicroBatchCount),
        FrameKind.TiedGradientFromOwner or FrameKind.TiedGradientToOwner => key is { MicroBatch: 0 or 1, Slice: 0 } && key.Edge < _layout.UnitCounts.Sum(),
        // Where gradients are freed each micro-batch of a replica is contributed by itself, round after round.
        FrameKind.GradientContribution => IsOfReplica(key, _schedule.SharesOptimizer ? _roundCount : 1),
        FrameKind.ReducedGradient => IsOfReplica(key, 1),
        FrameKind.UpdatedWeights => IsOfReplica(key, 1) && key.Slice == 0,
        _ => false,
    };

    private bool IsBetweenStages(FrameKey key, int stage, int microBatchCount) =>
        key is { Edge: >= 0, Slice: 0, MicroBatch: >= 0 } && key.MicroBatch < microBatchCount && _stages.Contains(stage);

    private bool IsOfReplica(FrameKey key, int rounds) => key is { MicroBatch: >= 0, Slice: >= 0 }
        && key.MicroBatch < _rowCount * rounds && key.MicroBatch % _rowCount != Replica && _units.Contains(key.Edge);

    private static bool IsTypeOf(FrameKind kind, FrameDataType type) => kind switch
    {
        FrameKind.UpdatedWeights => type == FrameDataType.Byte,
        FrameKind.GradientContribution or FrameKind.ReducedGradient => type is FrameDataType.Float32 or FrameDataType.Byte,
        _ => true,
    };
}
