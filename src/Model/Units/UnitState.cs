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
    private readonly Dictionary<string, ParameterState> _byName = new(StringComparer.Ordinal);
    private readonly List<IDisposable> _owned = [];
    private readonly Dictionary<ParameterState, Tensor> _staged = [];
    private readonly UnitLayout _layout;

    /// <summary>Allocates and initialises a unit.</summary>
    /// <param name="unit">What to hold.</param>
    /// <param name="index">Place of the unit in the whole model; keys its random state.</param>
    /// <param name="precision">Arithmetic of the run.</param>
    /// <param name="device">Where the buffers live.</param>
    /// <param name="seed">Seed of the initial values.</param>
    /// <param name="trains">Whether gradient and moments are wanted; false for generation and evaluation alone.</param>
    /// <param name="runsAhead">Whether the weights of a step that may be taken back are to be computed with: costs a second fp32 copy.</param>
    /// <param name="owns">
    /// Which parameters, by their full names, have their optimizer state here; null for all. Of the others there is only what the unit
    /// computes with, which whoever owns them updates.
    /// </param>
    public UnitState(Unit unit, int index, Precision precision, Device device, ulong seed, bool trains, bool runsAhead = false, Func<string, bool>? owns = null)
    {
        Unit = unit;
        Index = index;
        Trains = trains;
        IsWhole = owns is null;
        var masterType = precision == Precision.Fp64 ? ScalarType.Float64 : ScalarType.Float32;
        var computeType = precision == Precision.Bf16 ? ScalarType.BFloat16 : masterType;
        _layout = new UnitLayout(unit.Parameters, spec => owns?.Invoke(unit.FullName(spec)) ?? true, mastersEverything: computeType == masterType);
        using (no_grad())
        {
            Master = Own(zeros(_layout.MasterLength, masterType, device));
            Working = runsAhead ? Own(zeros(_layout.Length, masterType, device)) : Master;
            Compute = computeType == masterType ? Working : Own(zeros(_layout.Length, computeType, device));
            if (trains)
            {
                Gradient = Own(zeros(_layout.Length, masterType, device));
                FirstMoment = Own(zeros(_layout.MomentLength, masterType, device));
                SecondMoment = Own(zeros(_layout.MomentLength, masterType, device));
            }

            foreach (var spec in unit.Parameters) AddParameter(spec, seed);
            RefreshCompute();
        }
    }

    /// <summary>The description that this memory belongs to.</summary>
    public Unit Unit { get; }

    /// <summary>Place of the unit in the whole model.</summary>
    public int Index { get; }

    /// <summary>Whether gradient and moments exist.</summary>
    public bool Trains { get; }

    /// <summary>Whether the optimizer state of all its parameters is here.</summary>
    public bool IsWhole { get; }

    /// <summary>What the optimizer updates here: ranges of the flat buffers.</summary>
    internal IReadOnlyList<OptimizerRange> OptimizerRanges => _layout.OptimizerRanges;

    /// <summary>
    /// Flat master weights, fp32 (fp64 in gradient checks): of all parameters, or in a bf16 run that shares its optimizer state out, of those
    /// that are owned or computed with in fp32.
    /// </summary>
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
        foreach (var (parameter, weight) in _staged) parameter.Weight.copy_(weight);
        FreeStaged();
    }

    /// <summary>Frees the weights that <see cref="WeightToLoad"/> has made.</summary>
    internal void FreeStaged()
    {
        foreach (var staged in _staged.Values) staged.Dispose();
        _staged.Clear();
    }

    /// <summary>
    /// The fp32 weight of a parameter to read from or to write to: its master, or, where another replica has that, one made of what is
    /// computed with. <see cref="RefreshCompute"/> takes over what was written, and frees it.
    /// </summary>
    internal Tensor WeightToLoad(ParameterState parameter)
    {
        if (parameter.HasMaster) return parameter.Master;
        if (_staged.TryGetValue(parameter, out var staged)) return staged;
        using var guard = no_grad();
        return _staged[parameter] = parameter.Weight.to_type(ScalarType.Float32).DetachFromDisposeScope();
    }

    /// <summary>Rounds the working weights into the compute copy, where that is of another type.</summary>
    internal void RoundWorking()
    {
        if (ReferenceEquals(Compute, Working)) return;
        if (IsWhole)
        {
            Compute.copy_(Working);
            return;
        }

        foreach (var range in _layout.MasterRanges)
        {
            using var target = Compute.narrow(0, range.Start, range.Length);
            using var source = Working.narrow(0, range.MasterStart, range.Length);
            target.copy_(source);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        FreeStaged();
        foreach (var owned in Enumerable.Reverse(_owned)) owned.Dispose();
        _owned.Clear();
    }

    private void AddParameter(ParameterSpec spec, ulong seed)
    {
        var state = new ParameterState(this, spec, _layout[spec]);
        _owned.Add(state);
        _parameters.Add(state);
        _byName.Add(spec.Name, state);
        // A tied use starts from its owner's values, so it draws under the owner's name.
        NormalFill.Fill(WeightToLoad(state), seed, spec.TiedTo ?? Unit.FullName(spec), spec.Initialization);
    }

    private Tensor Own(Tensor tensor)
    {
        tensor.DetachFromDisposeScope();
        _owned.Add(tensor);
        return tensor;
    }
}
