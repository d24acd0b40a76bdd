using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
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
    /// <param name="options">
    /// Arithmetic, device, seed, and which of the buffers are wanted: of parameters whose optimizer state is elsewhere there is only what the unit
    /// computes with, which whoever owns them updates.
    /// </param>
    public UnitState(Unit unit, int index, StageOptions options)
    {
        Unit = unit;
        Index = index;
        Trains = options.Trains;
        IsWhole = options.Owns is null;
        KeepsOwnedGradients = options.FreesGradients;
        if (KeepsOwnedGradients && IsWhole) throw new ArgumentException("Gradients can be freed only where the optimizer's state is shared out.", nameof(options));
        var device = options.Device;
        var masterType = options.Precision == Precision.Fp64 ? ScalarType.Float64 : ScalarType.Float32;
        var computeType = options.Precision == Precision.Bf16 ? ScalarType.BFloat16 : masterType;
        _layout = new UnitLayout(unit.Parameters, spec => options.Owns?.Invoke(unit.FullName(spec)) ?? true, mastersEverything: computeType == masterType);
        using (no_grad())
        {
            Master = Own(zeros(_layout.MasterLength, masterType, device));
            Working = options.RunsAhead ? Own(zeros(_layout.Length, masterType, device)) : Master;
            Compute = computeType == masterType ? Working : Own(zeros(_layout.Length, computeType, device));
            if (Trains)
            {
                SummedGradient = Own(zeros(KeepsOwnedGradients ? _layout.MomentLength : _layout.Length, masterType, device));
                Gradient = KeepsOwnedGradients ? null! : SummedGradient;
                FirstMoment = Own(zeros(_layout.MomentLength, masterType, device));
                SecondMoment = Own(zeros(_layout.MomentLength, masterType, device));
            }

            foreach (var spec in unit.Parameters) AddParameter(spec, options.Seed);
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

    /// <summary>Whether of the gradient only the sums of what is owned are kept, and backward leaves its own in memory that is lent.</summary>
    public bool KeepsOwnedGradients { get; }

    /// <summary>Elements of a gradient of all parameters, with padding.</summary>
    public long Length => _layout.Length;

    /// <summary>Bytes of the flat buffers that the unit owns.</summary>
    public long ByteCount => _owned.OfType<Tensor>().Sum(buffer => buffer.numel() * buffer.element_size());

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

    /// <summary>
    /// Flat gradient that backward adds to: the sum over the step's tokens of finished micro-batches, or, where only owned sums are kept, lent
    /// memory, null until it is lent.
    /// </summary>
    public Tensor Gradient { get; private set; } = null!;

    /// <summary>Flat gradient that the optimizer reads: <see cref="Gradient"/> itself, or, laid out as the moments, the sums of what is owned.</summary>
    public Tensor SummedGradient { get; } = null!;

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

    /// <summary>Gives backward the memory of a gradient, which stays its lender's and must be all zeros whenever a backward comes to the unit.</summary>
    internal void LendGradient(Tensor memory)
    {
        Gradient?.Dispose();
        Gradient = memory.detach().DetachFromDisposeScope();
        foreach (var parameter in _parameters) parameter.LendGradient(Gradient);
    }

    /// <summary>Clears whatever gradient there is.</summary>
    internal void ClearGradient()
    {
        SummedGradient.FillInPlace(0);
        if (KeepsOwnedGradients) Gradient?.FillInPlace(0);
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
        if (KeepsOwnedGradients) Gradient?.Dispose();
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
