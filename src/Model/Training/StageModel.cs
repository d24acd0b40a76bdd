using Pipeline.Model.Numerics;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Training;

/// <summary>Where and in which arithmetic a stage computes.</summary>
/// <param name="Precision">Arithmetic.</param>
/// <param name="Device">Device of every tensor that the stage makes.</param>
/// <param name="Seed">The run's seed: initial weights and dropout.</param>
/// <param name="Trains">False when only forward passes are wanted: no gradient and moments are allocated.</param>
public sealed record StageOptions(Precision Precision, Device Device, ulong Seed, bool Trains = true);

/// <summary>
/// A consecutive list of units with their memory: what a stage computes on, and, holding all units, the unsplit model.
/// Not thread-safe: one compute thread uses it. Owns its unit states.
/// </summary>
public sealed class StageModel : IDisposable
{
    private readonly UnitState[] _units;
    private readonly BackwardFaults _faults = new();

    /// <summary>Allocates and initialises the units of one stage.</summary>
    /// <param name="model">All units of the model, in order.</param>
    /// <param name="first">Index of the stage's first unit.</param>
    /// <param name="count">Number of its units, at least one.</param>
    /// <param name="options">Arithmetic, device, seed.</param>
    public StageModel(IReadOnlyList<Unit> model, int first, int count, StageOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        Options = options;
        IsFirst = first == 0;
        IsLast = first + count == model.Count;
        _units = [.. Enumerable.Range(first, count).Select(index =>
            new UnitState(model[index], index, options.Precision, options.Device, options.Seed, options.Trains))];
        Ties = TiedParameter.Among(model, _units);
    }

    /// <summary>Arithmetic, device, seed.</summary>
    public StageOptions Options { get; }

    /// <summary>Whether it holds the model's first unit, which reads tokens.</summary>
    public bool IsFirst { get; }

    /// <summary>Whether it holds the model's last unit, whose output is the loss.</summary>
    public bool IsLast { get; }

    /// <summary>The units' memory, in model order.</summary>
    public IReadOnlyList<UnitState> Units => _units;

    /// <summary>Parameters of this stage that are tied to others, here or elsewhere.</summary>
    public IReadOnlyList<TiedParameter> Ties { get; }

    /// <summary>Type of the activations that cross its boundaries.</summary>
    public ScalarType ActivationType => _units[0].Compute.dtype;

    /// <summary>
    /// Runs the units forward. In training mode the result holds the graph for <see cref="Backward"/>; in the other modes only the output.
    /// </summary>
    /// <param name="microBatch">Tokens, targets, sample numbers; must live until the backward.</param>
    /// <param name="input">The former stage's output, owned by the caller until the returned pass is disposed; null on the first stage.</param>
    /// <param name="mode">What the pass is for.</param>
    /// <param name="session">State of earlier positions, in prefill and decode.</param>
    public ForwardPass Forward(MicroBatch microBatch, Tensor? input, PassMode mode, SessionState? session = null)
    {
        if (input is null != IsFirst) throw new InvalidOperationException(IsFirst ? "The first stage takes no input." : "A stage's input is missing.");
        var trains = mode == PassMode.Train;
        using var gradients = set_grad_enabled(trains);
        using var scope = NewDisposeScope();
        var leaf = input?.detach();
        if (trains) leaf?.requires_grad_(true);
        var context = new PassContext(mode, microBatch, Options.Seed, session, _faults);
        var hidden = leaf!;
        foreach (var unit in _units) hidden = unit.Unit.Forward(hidden, new UnitPass(unit, context));
        hidden.DetachFromDisposeScope();
        if (trains) leaf?.DetachFromDisposeScope();
        return new ForwardPass(trains ? leaf : null, hidden);
    }

    /// <summary>
    /// Runs the units backward and adds the micro-batch's gradients to the flat buffers; disposes the pass.
    /// </summary>
    /// <param name="pass">What <see cref="Forward"/> returned in training mode.</param>
    /// <param name="outputGradient">Gradient of the pass's output, owned by the caller; null on the last stage, whose output is the loss.</param>
    /// <returns>Gradient of the stage's input, owned by the caller; null on the first stage.</returns>
    public Tensor? Backward(ForwardPass pass, Tensor? outputGradient)
    {
        using var owned = pass;
        using var gradients = enable_grad();
        using var scope = NewDisposeScope();
        if (outputGradient is null) pass.Output.backward();
        else pass.Output.backward([outputGradient]);
        _faults.ThrowIfAny();
        using (no_grad())
        {
            foreach (var unit in _units) unit.CollectLeaves();
        }

        return pass.Input?.grad?.DetachFromDisposeScope();
    }

    /// <summary>
    /// Adds the two gradients of each tie whose both ends lie in this stage: once a step, after the last backward.
    /// </summary>
    public void SumLocalTies()
    {
        using var guard = no_grad();
        foreach (var tie in Ties)
        {
            if (tie.IsOwner || Ties.FirstOrDefault(other => other.IsOwner && other.Group == tie.Group) is not { } owner) continue;
            owner.Parameter.Gradient.add_(tie.Parameter.Gradient);
            tie.Parameter.Gradient.copy_(owner.Parameter.Gradient);
        }
    }

    /// <summary>
    /// Sum of squares of each parameter's gradient, in the model's order, in double; a tied use that is not the owner is left out.
    /// Their sum in the model's order over all stages is the squared global norm of the summed gradient.
    /// </summary>
    public IReadOnlyList<double> SquaredNorms() =>
        [.. _units.SelectMany(unit => unit.Parameters).Where(parameter => parameter.Spec.TiedTo is null)
            .Select(parameter => SumOfSquares.Of(parameter.Gradient))];

    /// <summary>One AdamW step on every unit from the summed gradient, which is cleared.</summary>
    /// <param name="step">Step, counted from 1: corrects the moments' bias.</param>
    /// <param name="settings">Betas, decay, epsilon, learning rates.</param>
    /// <param name="gradientFactor">See <see cref="OptimizerSettings.GradientFactor"/>.</param>
    public void OptimizerStep(long step, OptimizerSettings settings, double gradientFactor)
    {
        using var guard = no_grad();
        foreach (var unit in _units) AdamW.Step(unit, step, settings, gradientFactor);
    }

    /// <summary>Forgets the gradients of an aborted step.</summary>
    public void ClearGradients()
    {
        using var guard = no_grad();
        foreach (var unit in _units) unit.Gradient.fill_(0);
    }

    /// <summary>
    /// The logical tensors of the stage: for every parameter that it owns (ties only at the owner) the weight under its full name, and
    /// when it trains the moments under <c>name.exp_avg</c> and <c>name.exp_avg_sq</c>. Views into the flat buffers, not to be disposed.
    /// </summary>
    public IEnumerable<StateTensor> State() => _units.SelectMany(unit => unit.Parameters
        .Where(parameter => parameter.Spec.TiedTo is null)
        .SelectMany(parameter => StateTensor.Of(unit, parameter, parameter.FullName)));

    /// <summary>The tensors to load: <see cref="State"/>, and for tied uses the owner's names onto their own memory.</summary>
    public IEnumerable<StateTensor> StateToLoad() => _units.SelectMany(unit => unit.Parameters
        .SelectMany(parameter => StateTensor.Of(unit, parameter, parameter.Spec.TiedTo ?? parameter.FullName)));

    /// <summary>To be called after writing into <see cref="StateToLoad"/>: refreshes the compute copies.</summary>
    public void StateLoaded()
    {
        foreach (var unit in _units) unit.RefreshCompute();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var unit in _units) unit.Dispose();
    }
}

/// <summary>The graph of one micro-batch between its forward and its backward. Owns input leaf and output.</summary>
public sealed class ForwardPass : IDisposable
{
    internal ForwardPass(Tensor? input, Tensor output)
    {
        Input = input;
        Output = output;
    }

    internal Tensor? Input { get; }

    /// <summary>The stage's output, with its graph in training mode. To send it, take <see cref="DetachedOutput"/>.</summary>
    public Tensor Output { get; }

    /// <summary>The output without its graph, sharing memory; owned by the caller.</summary>
    public Tensor DetachedOutput()
    {
        using var guard = no_grad();
        return Output.detach().DetachFromDisposeScope();
    }

    /// <summary>On the last stage: the loss summed over the micro-batch's tokens, whatever floating-point type the last unit gave it.</summary>
    public double LossSum()
    {
        if (Output.dtype == ScalarType.Float64) return Output.item<double>();
        using var guard = no_grad();
        using var wide = Output.to_type(ScalarType.Float64);
        return wide.item<double>();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Input?.Dispose();
        Output.Dispose();
    }
}

/// <summary>A named tensor of a unit's state, for checkpoints and digests. A view: its stage owns it.</summary>
/// <param name="Unit">Name of the unit.</param>
/// <param name="Name">Logical name.</param>
/// <param name="IsMoment">Whether it is optimizer state rather than a weight.</param>
/// <param name="Tensor">fp32 view into a flat buffer.</param>
public sealed record StateTensor(string Unit, string Name, bool IsMoment, Tensor Tensor)
{
    internal static IEnumerable<StateTensor> Of(UnitState unit, ParameterState parameter, string name)
    {
        yield return new StateTensor(unit.Unit.Name, name, IsMoment: false, parameter.Master);
        if (!unit.Trains) yield break;
        yield return new StateTensor(unit.Unit.Name, name + ".exp_avg", IsMoment: true, parameter.FirstMoment);
        yield return new StateTensor(unit.Unit.Name, name + ".exp_avg_sq", IsMoment: true, parameter.SecondMoment);
    }
}
