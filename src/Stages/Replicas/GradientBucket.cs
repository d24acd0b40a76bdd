using System.Runtime.InteropServices;
using Pipeline.Model.Units;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Summation;
using Pipeline.Reduction.Topologies;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// The gradients of some units as one span: unit after unit, in the bucket's order. Those of one unit are a span already, as are those that lie
/// in lent memory; others are gathered in one, which it owns, and scattered again. The units' memory stays theirs. On one thread at a time: the compute
/// thread, and, for ranges that its reduction guards, threads of links. fp32 gradients on a CPU.
/// </summary>
internal sealed class GradientBucket : IGradientBucket
{
    private readonly IReadOnlyList<UnitState> _units;
    private readonly torch.Tensor? _gathered;
    private readonly torch.Tensor? _lent;

    /// <param name="units">In the bucket's order.</param>
    /// <param name="lent">Memory whose beginning is the units' gradients in that order; null where each unit has its own.</param>
    internal GradientBucket(IReadOnlyList<UnitState> units, torch.Tensor? lent = null)
    {
        foreach (var unit in units)
        {
            if (unit.Gradient.device_type != DeviceType.CPU || unit.Gradient.dtype != torch.ScalarType.Float32)
                throw new InvalidOperationException($"Gradients of unit {unit.Unit.Name} are {unit.Gradient.dtype} on {unit.Gradient.device}: this build adds up fp32 gradients on a CPU only.");
        }

        (_units, _lent, Length) = (units, lent, checked((int)units.Sum(unit => unit.Length)));
        if (units.Count > 1 && lent is null) _gathered = torch.empty(Length, torch.ScalarType.Float32, torch.CPU).DetachFromDisposeScope();
    }

    /// <summary>Elements of the span.</summary>
    internal int Length { get; }

    /// <inheritdoc/>
    public int Name => _units[0].Index;

    /// <summary>The span: what was gathered, or, with one unit, its gradient itself.</summary>
    public Span<float> Values => Floats(Memory)[..Length];

    private torch.Tensor Memory => _gathered ?? _lent ?? _units[0].Gradient;

    /// <inheritdoc/>
    public IReadOnlyList<MatrixRange> MatricesIn(int start, int length) => BucketMatrices.In([.. _units.Select(unit => unit.Unit)], start, length);

    /// <inheritdoc/>
    public torch.Tensor? ViewOf(int start, int length)
    {
        using var guard = torch.no_grad();
        return Memory.narrow(0, start, length).DetachFromDisposeScope();
    }

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

    /// <summary>Adds the sums of a shard to those that its owner keeps.</summary>
    /// <param name="shard">One of <see cref="OwnedReduction.ShardsOf"/>.</param>
    /// <param name="sums">As long as the shard.</param>
    internal void AddToOwned(Shard shard, ReadOnlySpan<float> sums)
    {
        var unitStart = 0L;
        foreach (var unit in _units)
        {
            foreach (var parameter in unit.Parameters)
            {
                var start = unitStart + parameter.Offset - shard.Start;
                if (start < 0 || start >= shard.Length) continue;
                var owned = Floats(parameter.SummedGradient);
                SpanSum.Add(owned, sums.Slice((int)start, owned.Length), owned);
            }

            unitStart += unit.Length;
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
