using System.Runtime.InteropServices;
using Pipeline.Model.Units;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Summation;
using Pipeline.Reduction.Topologies;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// The gradients of some units as one span: unit after unit, in the bucket's order. Those of one unit are a span already; those of several
/// are gathered in one, which it owns, and scattered again. The units' memory stays theirs. On the compute thread only; fp32 gradients on a CPU.
/// </summary>
internal sealed class GradientBucket : IGradientBucket
{
    private readonly IReadOnlyList<UnitState> _units;
    private readonly FloatBuffer? _gathered;

    internal GradientBucket(IReadOnlyList<UnitState> units)
    {
        foreach (var unit in units)
        {
            if (unit.Gradient.device_type != DeviceType.CPU || unit.Gradient.dtype != torch.ScalarType.Float32)
                throw new InvalidOperationException($"Gradients of unit {unit.Unit.Name} are {unit.Gradient.dtype} on {unit.Gradient.device}: this build adds up fp32 gradients on a CPU only.");
        }

        _units = units;
        if (units.Count > 1) _gathered = new FloatBuffer(checked((int)units.Sum(unit => unit.Gradient.numel())));
    }

    /// <inheritdoc/>
    public int Name => _units[0].Index;

    /// <summary>The span: what was gathered, or, with one unit, its gradient itself.</summary>
    public Span<float> Values => _gathered is null ? Floats(_units[0].Gradient) : _gathered.Span;

    /// <summary>Neighbours in the span whose sums one replica completes, as shards.</summary>
    internal IReadOnlyList<Shard> ShardsOf(OptimizerOwners owners)
    {
        List<Shard> shards = [];
        var unitStart = 0L;
        foreach (var unit in _units)
        {
            var parameters = unit.Parameters.OrderBy(parameter => parameter.Gradient.storage_offset()).ToArray();
            for (var index = 0; index < parameters.Length; index++)
            {
                var end = unitStart + (index + 1 < parameters.Length ? parameters[index + 1].Gradient.storage_offset() : unit.Gradient.numel());
                var owner = new Participant(owners[parameters[index].FullName]);
                var start = shards.Count == 0 ? 0 : shards[^1].Start + shards[^1].Length;
                if (shards.Count > 0 && shards[^1].Owner == owner) shards[^1] = shards[^1] with { Length = (int)end - shards[^1].Start };
                else shards.Add(new Shard(shards.Count, start, (int)end - start, owner));
            }

            unitStart += unit.Gradient.numel();
        }

        return shards;
    }

    /// <inheritdoc/>
    public IReadOnlyList<MatrixRange> MatricesIn(int start, int length) => BucketMatrices.In([.. _units.Select(unit => unit.Unit)], start, length);

    /// <summary>Copies the units' gradients into the span.</summary>
    public void Gather()
    {
        if (_gathered is null) return;
        var place = Values;
        foreach (var unit in _units)
        {
            var gradient = Floats(unit.Gradient);
            gradient.CopyTo(place);
            place = place[gradient.Length..];
        }
    }

    /// <summary>Copies the span back.</summary>
    public void Scatter()
    {
        if (_gathered is null) return;
        var place = Values;
        foreach (var unit in _units)
        {
            var gradient = Floats(unit.Gradient);
            place[..gradient.Length].CopyTo(gradient);
            place = place[gradient.Length..];
        }
    }

    /// <summary>Clears the units' gradients.</summary>
    public void Clear()
    {
        foreach (var unit in _units) Floats(unit.Gradient).Clear();
    }

    /// <inheritdoc/>
    public void Dispose() => _gathered?.Dispose();

    private static Span<float> Floats(torch.Tensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.bytes);
}
