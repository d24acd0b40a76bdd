using Pipeline.Model.Numerics;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Training;

/// <summary>Where and in which arithmetic a stage computes.</summary>
/// <param name="Precision">Arithmetic.</param>
/// <param name="Device">Device of every tensor that the stage makes.</param>
/// <param name="Seed">The run's seed: initial weights and dropout.</param>
/// <param name="Trains">False when only forward passes are wanted: no gradient and moments are allocated.</param>
/// <param name="RunsAhead">Whether <see cref="StageModel.StepAhead"/> is wanted, for another fp32 copy of the weights.</param>
/// <param name="Owns">Which parameters, by their full names, have their optimizer state here; null for all. Not together with running ahead.</param>
/// <param name="FreesGradients">
/// Whether of gradients, too, only the sums of what is owned are kept: <see cref="StageModel.TakeTurnsInGradientMemory"/> is then to be called before
/// the first backward. Only with <paramref name="Owns"/>.
/// </param>
public sealed record StageOptions(
    Precision Precision, Device Device, ulong Seed, bool Trains = true, bool RunsAhead = false, Func<string, bool>? Owns = null, bool FreesGradients = false);

/// <summary>
/// A consecutive list of units with their memory: what a stage computes on, and, holding all units, the unsplit model.
/// Not thread-safe: one compute thread uses it. Owns its unit states.
/// </summary>
public sealed class StageModel : IDisposable
{
    private readonly UnitState[] _units;
    private readonly BackwardFaults _faults = new();
    private Tensor? _sharedGradient;
    private readonly UnitChain _chain;

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
            new UnitState(model[index], index, options))];
        _chain = new UnitChain(_units, _faults);
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
    /// <param name="recompute">What each unit drops, in training mode; null where nothing is dropped.</param>
    public ForwardPass Forward(
        MicroBatch microBatch, Tensor? input, PassMode mode, SessionState? session = null, IReadOnlyList<Recomputation>? recompute = null)
    {
        if (input is null != IsFirst) throw new InvalidOperationException(IsFirst ? "The first stage takes no input." : "A stage's input is missing.");
        return _chain.Forward(new PassContext(mode, microBatch, Options.Seed, session, _faults), input, recompute);
    }

    /// <summary>Computes anew what the forward of a pass has dropped. To be called between the forward and the backward of such a pass.</summary>
    public void Recompute(ForwardPass pass) => _chain.Recompute(pass);

    /// <summary>
    /// Runs the units backward and adds the micro-batch's gradients to the flat buffers; disposes the pass. To be called in the order of the
    /// micro-batches, in which gradients are to be added.
    /// </summary>
    /// <param name="pass">What <see cref="Forward"/> returned in training mode.</param>
    /// <param name="outputGradient">Gradient of the pass's output, owned by the caller; null on the last stage, whose output is the loss.</param>
    /// <param name="finished">
    /// Told consecutive units by their places in the stage, the last first, as soon as the micro-batch's part is in their gradients. It may
    /// read and clear these.
    /// </param>
    /// <returns>Gradient of the stage's input, owned by the caller; null on the first stage.</returns>
    public Tensor? Backward(ForwardPass pass, Tensor? outputGradient, Action<Range>? finished = null)
    {
        using var owned = pass;
        return _chain.Backward(pass, outputGradient, finished);
    }

    /// <summary>
    /// Asks that finished gradients are told at least where these units begin: from the next forward on graphs are cut there. No influence on
    /// any bit.
    /// </summary>
    /// <param name="units">Places in the stage.</param>
    public void TellFinishedAt(IEnumerable<int> units) => _chain.Cuts = units.ToHashSet();

    /// <summary>
    /// Where gradients are not kept: gives groups of units one memory for the gradients of a micro-batch, in which they take turns. A backward then
    /// tells each group by itself, and whoever is told must have taken its gradients, and cleared the memory, when it returns.
    /// </summary>
    /// <param name="groups">Places in the stage, in the order in which backward finishes them and in which they lie in the memory; each unit once.</param>
    /// <returns>The memory, as long as the longest group; the stage owns it.</returns>
    public Tensor TakeTurnsInGradientMemory(IReadOnlyList<IReadOnlyList<int>> groups)
    {
        using var guard = no_grad();
        var length = groups.Max(group => group.Sum(unit => _units[unit].Length));
        _sharedGradient = zeros(length, ScalarType.Float32, Options.Device).DetachFromDisposeScope();
        foreach (var group in groups)
        {
            var start = 0L;
            foreach (var unit in group)
            {
                using var place = _sharedGradient.narrow(0, start, _units[unit].Length);
                _units[unit].LendGradient(place);
                start += _units[unit].Length;
            }
        }

        TellFinishedAt(groups.Select(group => group.Min()));
        _chain.CutsDropped = true;
        return _sharedGradient;
    }

    /// <summary>
    /// The input-gradient half: runs the units backward but leaves the gradients of their parameters, as a leaf that can be computed later
    /// and added in its turn, to the same bits as <see cref="Backward"/> adds them. In any order of micro-batches; disposes the pass.
    /// </summary>
    /// <param name="pass">As in <see cref="Backward"/>.</param>
    /// <param name="outputGradient">As in <see cref="Backward"/>.</param>
    /// <returns>Gradient of the stage's input, null on the first stage, and the leaf; both owned by the caller.</returns>
    public (Tensor? InputGradient, MicroBatchLeaf Leaf) BackwardInput(ForwardPass pass, Tensor? outputGradient)
    {
        using var owned = pass;
        pass.Context.Leaves.Defer();
        var gradient = _chain.Backward(pass, outputGradient);
        return (gradient, new MicroBatchLeaf(pass.Context.Leaves.Take()));
    }

    /// <summary>
    /// Adds the two gradients of each tie whose both ends lie in this stage: once a step, after the last backward.
    /// </summary>
    public void SumLocalTies()
    {
        using var guard = no_grad();
        foreach (var tie in Ties)
        {
            // Where another replica adds the uses up there is nothing final to add.
            if (tie.IsOwner || !tie.Parameter.IsOwned || Ties.FirstOrDefault(other => other.IsOwner && other.Group == tie.Group) is not { } owner) continue;
            owner.Parameter.SummedGradient.AddInPlace(tie.Parameter.SummedGradient);
            tie.Parameter.SummedGradient.copy_(owner.Parameter.SummedGradient);
        }
    }

    /// <summary>
    /// Sum of squares of each parameter's gradient, in the model's order, in double; a tied use that is not the owner is left out, and what
    /// another replica owns is 0. Their sum in the model's order over all stages is the squared global norm of the summed gradient.
    /// </summary>
    public IReadOnlyList<double> SquaredNorms() =>
        [.. _units.SelectMany(unit => unit.Parameters).Where(parameter => parameter.Spec.TiedTo is null)
            .Select(parameter => parameter.IsOwned ? SumOfSquares.Of(parameter.SummedGradient) : 0)];

    /// <summary>One AdamW step on every unit from the summed gradient, which is cleared.</summary>
    /// <param name="step">Step, counted from 1: corrects the moments' bias.</param>
    /// <param name="settings">Betas, decay, epsilon, learning rates.</param>
    /// <param name="gradientFactor">See <see cref="OptimizerSettings.GradientFactor"/>.</param>
    public void OptimizerStep(long step, OptimizerSettings settings, double gradientFactor)
    {
        using var guard = no_grad();
        foreach (var unit in _units)
        {
            AdamW.Step(unit, step, settings, gradientFactor);
            // What others own was cleared by nobody.
            if (!unit.IsWhole && !unit.KeepsOwnedGradients) unit.ClearGradient();
            unit.RefreshCompute();
        }
    }

    /// <summary>
    /// The same step on the weights that units compute with alone: master weights, moments and gradient stay as they are, until
    /// <see cref="CommitAhead"/> makes it good, or <see cref="OptimizerStep"/> with another factor or <see cref="ForgetAhead"/> takes it back.
    /// </summary>
    /// <inheritdoc cref="OptimizerStep"/>
    public void StepAhead(long step, OptimizerSettings settings, double gradientFactor)
    {
        if (!Options.RunsAhead) throw new InvalidOperationException("The stage holds no second copy of its weights.");
        using var guard = no_grad();
        foreach (var unit in _units)
        {
            AdamW.Ahead(unit, step, settings, gradientFactor);
            unit.RoundWorking();
        }
    }

    /// <summary>Makes good the step that <see cref="StepAhead"/> took with the same arguments. The weights in use are the right ones already.</summary>
    /// <inheritdoc cref="OptimizerStep"/>
    public void CommitAhead(long step, OptimizerSettings settings, double gradientFactor)
    {
        using var guard = no_grad();
        foreach (var unit in _units) AdamW.Step(unit, step, settings, gradientFactor);
    }

    /// <summary>Goes back to the weights before <see cref="StepAhead"/> and forgets the gradient.</summary>
    public void ForgetAhead()
    {
        ClearGradients();
        StateLoaded();
    }

    /// <summary>A step is passed over: its gradients are forgotten, and moments that freeze after it freeze all the same.</summary>
    public void PassOver(long step, OptimizerSettings settings)
    {
        ClearGradients();
        if (step != settings.FrozenAfter) return;
        foreach (var unit in _units) AdamW.Freeze(unit);
    }

    /// <summary>Forgets the gradients of an aborted step.</summary>
    public void ClearGradients()
    {
        using var guard = no_grad();
        foreach (var unit in _units) unit.ClearGradient();
    }

    /// <summary>
    /// The logical tensors of the stage: for every parameter that it owns (ties only at the owner, shared-out optimizer state only here) the weight under its full name, and
    /// when it trains the moments under <c>name.exp_avg</c> and <c>name.exp_avg_sq</c>. Views into the flat buffers, not to be disposed.
    /// </summary>
    public IEnumerable<StateTensor> State() => _units.SelectMany(unit => unit.Parameters
        .Where(parameter => parameter.Spec.TiedTo is null && parameter.IsOwned)
        .SelectMany(parameter => StateTensor.Of(unit, parameter, parameter.FullName)));

    /// <summary>The tensors to load: <see cref="State"/>, and for tied uses the owner's names onto their own memory.</summary>
    public IEnumerable<StateTensor> StateToLoad() => _units.SelectMany(unit => unit.Parameters
        .SelectMany(parameter => StateTensor.Of(unit, parameter, parameter.Spec.TiedTo ?? parameter.FullName)));

    /// <summary>To be called after writing into <see cref="StateToLoad"/>: refreshes the compute copies.</summary>
    public void StateLoaded()
    {
        foreach (var unit in _units) unit.RefreshCompute();
    }

    /// <summary>To be called after reading <see cref="StateToLoad"/> without writing into it: frees what was made for it.</summary>
    public void StateRead()
    {
        foreach (var unit in _units) unit.FreeStaged();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var unit in _units) unit.Dispose();
        _sharedGradient?.Dispose();
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
        yield return new StateTensor(unit.Unit.Name, name, IsMoment: false, unit.WeightToLoad(parameter));
        if (!unit.Trains || !parameter.IsOwned) yield break;
        yield return new StateTensor(unit.Unit.Name, name + ".exp_avg", IsMoment: true, parameter.FirstMoment);
        yield return new StateTensor(unit.Unit.Name, name + ".exp_avg_sq", IsMoment: true, parameter.SecondMoment);
    }
}
