using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>What a direction of the mesh splits.</summary>
public enum MeshAxis : byte
{
    /// <summary>Replicas, which share a step's samples.</summary>
    Data,

    /// <summary>Ranks of the pipeline, which share the model's depth.</summary>
    Pipeline,

    /// <summary>Shares of each weight matrix.</summary>
    Tensor,

    /// <summary>Shares of each sequence.</summary>
    Context,

    /// <summary>Shares of the experts of a mixture.</summary>
    Expert,
}

/// <summary>
/// The processes of a run as a grid with named axes. World ranks count row by row: the last axis given varies fastest, so
/// that neighbours along it have neighbouring ranks. An axis that is not given has size 1 and coordinate 0.
/// </summary>
public sealed class Mesh
{
    private readonly ImmutableArray<(MeshAxis Axis, int Size)> _axes;

    /// <param name="axes">Each axis at most once, with its size of at least 1, slowest first.</param>
    /// <exception cref="ScheduleException">An axis is given twice, or a size is below 1.</exception>
    public Mesh(params ImmutableArray<(MeshAxis Axis, int Size)> axes)
    {
        foreach (var (axis, size) in axes)
        {
            if (size < 1)
                throw new ScheduleException($"The {Word(axis)} axis of the mesh has size {size}: expected at least 1. Raise pipeline.parallelism.{Word(axis)}.");
            if (axes.Count(other => other.Axis == axis) > 1)
                throw new ScheduleException($"The mesh has two {Word(axis)} axes: expected each at most once.");
        }

        _axes = axes;
        RankCount = axes.Aggregate(1, (product, axis) => checked(product * axis.Size));
    }

    /// <summary>The axes in order, slowest first.</summary>
    public ImmutableArray<(MeshAxis Axis, int Size)> Axes => _axes;

    /// <summary>The world size: the product of all sizes.</summary>
    public int RankCount { get; }

    /// <summary>The size of an axis, 1 where it was not given.</summary>
    public int SizeOf(MeshAxis axis)
    {
        foreach (var candidate in _axes)
            if (candidate.Axis == axis)
                return candidate.Size;
        return 1;
    }

    /// <summary>Where a rank lies along one axis, from 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The mesh has no such rank.</exception>
    public int CoordinateOf(int rank, MeshAxis axis)
    {
        RequireRank(rank);
        return rank / StrideOf(axis) % SizeOf(axis);
    }

    /// <summary>Where a rank lies along each axis, in the order of <see cref="Axes"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The mesh has no such rank.</exception>
    public ImmutableArray<int> CoordinatesOf(int rank) => [.. _axes.Select(axis => CoordinateOf(rank, axis.Axis))];

    /// <summary>The rank at the given coordinates, in the order of <see cref="Axes"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is not one coordinate per axis, or one is out of range.</exception>
    public int RankOf(params ReadOnlySpan<int> coordinates)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(coordinates.Length, _axes.Length, nameof(coordinates));
        var rank = 0;
        for (var index = 0; index < _axes.Length; index++)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(coordinates[index], nameof(coordinates));
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(coordinates[index], _axes[index].Size, nameof(coordinates));
            rank = (rank * _axes[index].Size) + coordinates[index];
        }

        return rank;
    }

    /// <summary>The ranks that differ from a rank only along one axis, itself included, in the axis' order.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The mesh has no such rank.</exception>
    public ImmutableArray<int> GroupOf(int rank, MeshAxis axis)
    {
        var stride = StrideOf(axis);
        var first = rank - (CoordinateOf(rank, axis) * stride);
        return [.. Enumerable.Range(0, SizeOf(axis)).Select(index => first + (index * stride))];
    }

    /// <summary>As in <c>data 2 × pipeline 4</c>.</summary>
    public override string ToString() => _axes.IsEmpty ? "1" : string.Join(" × ", _axes.Select(axis => $"{Word(axis.Axis)} {axis.Size}"));

    private int StrideOf(MeshAxis axis)
    {
        var stride = 1;
        for (var index = _axes.Length - 1; index >= 0 && _axes[index].Axis != axis; index--)
            stride *= _axes[index].Size;
        return stride;
    }

    private void RequireRank(int rank)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rank);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(rank, RankCount);
    }

    private static string Word(MeshAxis axis) => axis switch
    {
        MeshAxis.Data => "data",
        MeshAxis.Pipeline => "pipeline",
        MeshAxis.Tensor => "tensor",
        MeshAxis.Context => "context",
        _ => "expert",
    };
}
