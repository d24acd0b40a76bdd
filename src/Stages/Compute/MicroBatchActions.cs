using System.Diagnostics;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction.Compression;
using Pipeline.Schedules;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// Carries out the actions on micro-batches: forward, whole backward, the two halves of a split one, recomputation. Owns the activations
/// and leaves of the step under way.
/// </summary>
internal sealed class MicroBatchActions : IDisposable
{
    private readonly RankPlan _plan;
    private readonly StepInputs _inputs;
    private readonly IStageLinks _links;
    private readonly StepRecorder _recorder;
    private readonly StepLosses _losses;
    private readonly ActivationStore _store = new();
    private readonly Dictionary<int, LeafOrder> _leaves;
    private readonly BoundaryCompression? _boundary;
    private readonly Action<int, int, Range> _unitsFinished;
    private readonly Action<int> _gradientsComplete;
    private StepKey _step;

    /// <param name="plan">The rank.</param>
    /// <param name="inputs">Where inputs come from.</param>
    /// <param name="links">The ways out.</param>
    /// <param name="recorder">Measures.</param>
    /// <param name="losses">Takes the losses of the last stage.</param>
    /// <param name="unitsFinished">Told stage, micro-batch and units as soon as a leaf has been added to these.</param>
    /// <param name="gradientsComplete">Told each stage once a step, after its last leaf.</param>
    internal MicroBatchActions(
        RankPlan plan, StepInputs inputs, IStageLinks links, StepRecorder recorder, StepLosses losses, Action<int, int, Range> unitsFinished, Action<int> gradientsComplete)
    {
        _plan = plan;
        _inputs = inputs;
        _links = links;
        _recorder = recorder;
        _losses = losses;
        _leaves = plan.Models.Keys.ToDictionary(stage => stage, stage => new LeafOrder(plan.Schedule.MicroBatchCount, (microBatch, units) => unitsFinished(stage, microBatch, units)));
        _unitsFinished = unitsFinished;
        if (plan.Workload.Reduction.Activations is { Kind: not CompressionKind.None } settings) _boundary = new BoundaryCompression(settings, plan.Workload.Options.Seed);
        _gradientsComplete = gradientsComplete;
    }

    /// <summary>Predicted tokens of the micro-batches that went forward in this step.</summary>
    internal long TokenCount { get; private set; }

    /// <summary>Begins a step, or the same one anew: nothing is left of what came before.</summary>
    /// <param name="step">Its key.</param>
    /// <param name="isGradientFree">Whether leaves may be added already.</param>
    internal void Begin(StepKey step, bool isGradientFree)
    {
        _step = step;
        TokenCount = 0;
        _store.Clear();
        foreach (var order in _leaves.Values) order.Begin(isGradientFree);
    }

    /// <summary>The former step is settled: adds the leaves that waited for it.</summary>
    internal void FreeGradient()
    {
        foreach (var (stage, order) in _leaves)
        {
            order.Open();
            ReportIfComplete(stage);
        }
    }

    /// <summary>Asserts that every forward had its backward.</summary>
    internal void Finish() => _store.ThrowUnlessEmpty();

    internal void Run(StageAction action)
    {
        switch (action.Kind)
        {
            case ActionKind.Forward:
                Forward(action);
                break;
            case ActionKind.Backward:
            case ActionKind.InputGradient:
                Backward(action);
                break;
            case ActionKind.WeightGradient:
                Timed(action, () => _leaves[action.Stage].Finish(action.MicroBatch));
                break;
            case ActionKind.Recompute:
                Timed(action, () => _plan.Models[action.Stage].Recompute(_store[action.Stage, action.MicroBatch].Pass!));
                break;
            default:
                throw new UnreachableException($"action {action}");
        }

        if (action.Kind.MakesLeaf()) ReportIfComplete(action.Stage);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _store.Dispose();
        foreach (var order in _leaves.Values) order.Dispose();
    }

    private void Forward(StageAction action)
    {
        var model = _plan.Models[action.Stage];
        var asked = Stopwatch.GetTimestamp();
        // The samples are read before the input is awaited: the wait hides the reading.
        var microBatch = _plan.Workload.Batches.Training(_step.Step, _plan.Place.FirstMicroBatch + action.MicroBatch, model.Options.Device);
        var (input, ready) = model.IsFirst ? (null, 0L) : Input(microBatch, action, model);
        var started = Stopwatch.GetTimestamp();
        var held = _store.Open(action.Stage, action.MicroBatch, microBatch, input);
        var pass = held.Pass = model.Forward(microBatch, input, PassMode.Train, recompute: _plan.RecomputationOf(action.Stage, action.MicroBatch));
        if (model.IsLast) _losses.Add(action.MicroBatch, pass.LossSum(), microBatch.TokenCount);
        else Send(action.Stage + 1, new FrameKey(_step, action.Stage, action.MicroBatch, 0, FrameKind.Activation), pass.DetachedOutput());
        pass.ReleaseOutput();
        if (action.Stage == _plan.Schedule.StagesOf(_plan.Rank)[0]) TokenCount += microBatch.TokenCount;
        _recorder.Record(action, asked, ready, started);
    }

    private void Backward(StageAction action)
    {
        var model = _plan.Models[action.Stage];
        var asked = Stopwatch.GetTimestamp();
        using var held = _store.Take(action.Stage, action.MicroBatch);
        var key = new FrameKey(_step, action.Stage, action.MicroBatch, 0, FrameKind.Gradient);
        var (gradient, ready) = model.IsLast ? (null, 0L) : Receive(key, model);
        using var owned = gradient;
        var started = Stopwatch.GetTimestamp();
        var order = _leaves[action.Stage];
        var isWhole = action.Kind == ActionKind.Backward;
        var addsAtOnce = isWhole && order.IsTurnOf(action.MicroBatch);
        MicroBatchLeaf? leaf = null;
        torch.Tensor? inputGradient;
        if (addsAtOnce) inputGradient = model.Backward(held.Pass!, gradient, units => _unitsFinished(action.Stage, action.MicroBatch, units));
        else (inputGradient, leaf) = model.BackwardInput(held.Pass!, gradient);
        if (leaf is not null && !isWhole) order.Defer(action.MicroBatch, leaf);
        // Before the weight gradients of a whole backward that has to wait for its turn: the neighbour waits for this.
        if (inputGradient is not null) Send(action.Stage - 1, key with { Edge = action.Stage - 1 }, inputGradient);
        if (addsAtOnce) order.Added();
        else if (isWhole) order.Take(action.MicroBatch, leaf!);
        _recorder.Record(action, asked, ready, started);
    }

    private void ReportIfComplete(int stage)
    {
        if (_leaves[stage].TryComplete()) _gradientsComplete(stage);
    }

    private (torch.Tensor? Tensor, long Ready) Input(MicroBatch waiting, StageAction action, StageModel model)
    {
        try
        {
            return Receive(new FrameKey(_step, action.Stage - 1, action.MicroBatch, 0, FrameKind.Activation), model);
        }
        catch
        {
            waiting.Dispose();
            throw;
        }
    }

    private void Timed(StageAction action, Action work)
    {
        var started = Stopwatch.GetTimestamp();
        work();
        _recorder.Record(action, started, 0, started);
    }

    private void Send(int stage, FrameKey key, torch.Tensor tensor) =>
        _links.Send(_plan.RankOf(stage), key, _boundary is null ? tensor : _boundary.Encode(tensor, key), AlreadyDone.Instance);

    /// <summary>A tensor of a neighbouring stage, which the caller owns, and when it came. One that cannot be unpacked is awaited anew: the neighbour keeps what it has sent.</summary>
    private (torch.Tensor? Tensor, long Ready) Receive(FrameKey key, StageModel model)
    {
        while (true)
        {
            var (tensor, ready) = _inputs.Take(key, model.Options.Device);
            if (_boundary is null || tensor is null) return (tensor, ready);
            try
            {
                return (_boundary.Decode(tensor, model.ActivationType, model.Options.Device), ready);
            }
            catch (CompressionException fault)
            {
                _inputs.Refuse(key, $"{key.Kind}, edge {key.Edge}, micro-batch {key.MicroBatch} of step {key.Step.Step}: {fault.Message.TrimEnd('.')}");
            }
        }
    }
}
