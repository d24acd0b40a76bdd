using Pipeline.Model.Numerics;
using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>
/// The memory of one unit on one device: flat buffers of master weights, gradient, both moments and, in bf16 runs, the compute copy.
/// Owns all of them and every view into them, from construction to <see cref="Dispose"/>.
/// Each parameter starts at a 64-byte boundary of every buffer and buffers are padded to whole cache lines, so that no kernel sees
/// another alignment when units are placed otherwise. Parameters that decay come first: decay is one range.
/// </summary>
public sealed class UnitState : IDisposable
{
    // 32 elements are 64 bytes of bf16 and two cache lines of fp32.
    private const int Alignment = 32;
    private readonly Dictionary<string, ParameterState> _byName = new(StringComparer.Ordinal);
    private readonly List<IDisposable> _owned = [];

    /// <summary>Allocates and initialises a unit.</summary>
    /// <param name="unit">What to hold.</param>
    /// <param name="index">Place of the unit in the whole model; keys its random state.</param>
    /// <param name="precision">Arithmetic of the run.</param>
    /// <param name="device">Where the buffers live.</param>
    /// <param name="seed">Seed of the initial values.</param>
    /// <param name="trains">Whether gradient and moments are wanted; false for generation and evaluation alone.</param>
    /// <param name="runsAhead">Whether the weights of a step that may be taken back are to be computed with: costs a second fp32 copy.</param>
    public UnitState(Unit unit, int index, Precision precision, Device device, ulong seed, bool trains, bool runsAhead = false)
    {
        Unit = unit;
        Index = index;
        Trains = trains;
        var masterType = precision == Precision.Fp64 ? ScalarType.Float64 : ScalarType.Float32;
        var computeType = precision == Precision.Bf16 ? ScalarType.BFloat16 : masterType;
        var layout = Layout(unit.Parameters, out var decayLength, out var length);
        DecayLength = decayLength;
        using (no_grad())
        {
            Master = Own(zeros(length, masterType, device));
            Working = runsAhead ? Own(zeros(length, masterType, device)) : Master;
            Compute = computeType == masterType ? Working : Own(zeros(length, computeType, device));
            if (trains)
            {
                Gradient = Own(zeros(length, masterType, device));
                FirstMoment = Own(zeros(length, masterType, device));
                SecondMoment = Own(zeros(length, masterType, device));
            }

            foreach (var spec in unit.Parameters) AddParameter(spec, layout[spec.Name], seed);
            RefreshCompute();
        }
    }

    /// <summary>The description that this memory belongs to.</summary>
    public Unit Unit { get; }

    /// <summary>Place of the unit in the whole model.</summary>
    public int Index { get; }

    /// <summary>Whether gradient and moments exist.</summary>
    public bool Trains { get; }

    /// <summary>Elements of the leading range that decays.</summary>
    public long DecayLength { get; }

    /// <summary>Flat master weights, fp32 (fp64 in gradient checks).</summary>
    public Tensor Master { get; }

    /// <summary>
    /// Flat weights in the master's type that units compute with: the master itself, or, where steps may be taken back, a copy that is one
    /// unvalidated step ahead of it at times.
    /// </summary>
    public Tensor Working { get; }

    /// <summary>Flat weights in the compute type; <see cref="Working"/> itself unless the run is bf16.</summary>
    public Tensor Compute { get; }

    /// <summary>Flat gradient: the sum over the step's tokens of finished micro-batches.</summary>
    public Tensor Gradient { get; } = null!;

    /// <summary>Flat first moment.</summary>
    public Tensor FirstMoment { get; } = null!;

    /// <summary>Flat second moment.</summary>
    public Tensor SecondMoment { get; } = null!;

    /// <summary>Parameters in the unit's order.</summary>
    public IReadOnlyList<ParameterState> Parameters => _parameters;

    private readonly List<ParameterState> _parameters = [];

    /// <summary>A parameter by its name inside the unit.</summary>
    /// <exception cref="ArgumentException">The unit has no such parameter.</exception>
    public ParameterState this[string name] => _byName.TryGetValue(name, out var state)
        ? state
        : throw new ArgumentException($"Unit {Unit.Name} has no parameter {name}; it has {string.Join(", ", _byName.Keys)}.", nameof(name));

    /// <summary>Brings the master weights into the copies that units compute with, after a load or an optimizer step.</summary>
    public void RefreshCompute()
    {
        using var guard = no_grad();
        if (!ReferenceEquals(Working, Master)) Working.copy_(Master);
        RoundWorking();
    }

    /// <summary>Rounds the working weights into the compute copy, where that is of another type.</summary>
    internal void RoundWorking()
    {
        if (!ReferenceEquals(Compute, Working)) Compute.copy_(Working);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var owned in Enumerable.Reverse(_owned)) owned.Dispose();
        _owned.Clear();
    }

    private static Dictionary<string, long> Layout(IReadOnlyList<ParameterSpec> parameters, out long decayLength, out long length)
    {
        Dictionary<string, long> offsets = new(StringComparer.Ordinal);
        length = 0;
        decayLength = 0;
        foreach (var decays in new[] { true, false })
        {
            foreach (var spec in parameters.Where(spec => spec.Decay == decays))
            {
                if (!offsets.TryAdd(spec.Name, length)) throw new ArgumentException($"Two parameters are named {spec.Name}.", nameof(parameters));
                length += (spec.ElementCount + Alignment - 1) / Alignment * Alignment;
            }

            if (decays) decayLength = length;
        }

        return offsets;
    }

    private void AddParameter(ParameterSpec spec, long offset, ulong seed)
    {
        var state = new ParameterState(this, spec, offset);
        _owned.Add(state);
        _parameters.Add(state);
        _byName.Add(spec.Name, state);
        // A tied use starts from its owner's values, so it draws under the owner's name.
        NormalFill.Fill(state.Master, seed, spec.TiedTo ?? Unit.FullName(spec), spec.Initialization);
    }

    private Tensor Own(Tensor tensor)
    {
        tensor.DetachFromDisposeScope();
        _owned.Add(tensor);
        return tensor;
    }
}
