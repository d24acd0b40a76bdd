using System.Diagnostics;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Schedules;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// Runs a rank's list of actions, one step after the other: takes each action's input from the inbox, computes, sends the result on.
/// On the compute thread only. Owns the activations of the step under way.
/// </summary>
internal sealed class StepRunner : IDisposable
{
    private readonly RankPlan _plan;
    private readonly StageInbox _inbox;
    private readonly IStageLinks _links;
    private readonly StepRecorder _recorder;
    private readonly ActivationStore _store = new();
    private readonly StepLosses _losses;
    private readonly GradientReduction? _reduction;
    private readonly StepEnd _end;
    private StepKey _step;

    internal StepRunner(RankPlan plan, StageInbox inbox, IStageLinks links, StepRecorder recorder)
    {
        _plan = plan;
        _inbox = inbox;
        _links = links;
        _recorder = recorder;
        _losses = new StepLosses(plan.Schedule.MicroBatchCount);
        _reduction = plan.Place.Reduces ? new GradientReduction(plan, inbox, links, recorder) : null;
        _end = new StepEnd(plan, inbox, links, recorder, _losses, _reduction);
    }

    /// <summary>The action under way, for errors.</summary>
    internal StageAction? Current { get; private set; }

    /// <summary>Runs one step; what the whole step amounted to.</summary>
    internal StepOutcome Run(long step)
    {
        _step = _plan.KeyOf(step);
        _losses.Begin();
        _end.Begin(_step);
        foreach (var action in _plan.Schedule.Actions[_plan.Rank])
        {
            _inbox.ThrowIfClosed();
            Current = action;
            Run(action);
        }

        Current = null;
        _store.ThrowUnlessEmpty();
        _inbox.FinishPhase(StageInbox.StepPhase(step));
        return _end.Outcome;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _store.Dispose();
        _reduction?.Dispose();
    }

    private void Run(StageAction action)
    {
        switch (action.Kind)
        {
            case ActionKind.Forward:
                Forward(action);
                break;
            case ActionKind.Backward:
                Backward(action);
                break;
            case ActionKind.ReduceScatter:
                _end.Reduce(action);
                break;
            case ActionKind.AllGather:
                _end.Gather(action);
                break;
            case ActionKind.TiedSum:
                _end.SumTies(action);
                break;
            case ActionKind.Norm:
                _end.SendSquares(action.Stage);
                break;
            case ActionKind.Optimizer:
                _end.Apply(action);
                break;
            default:
                throw new UnreachableException($"action {action}");
        }
    }

    private void Forward(StageAction action)
    {
        var model = _plan.Models[action.Stage];
        var asked = Stopwatch.GetTimestamp();
        // The samples are read before the input is awaited: the wait hides the reading.
        var microBatch = _plan.Workload.Batches.Training(_step.Step, _plan.Place.FirstMicroBatch + action.MicroBatch, model.Options.Device);
        var (input, ready) = model.IsFirst ? (null, 0L) : Take(microBatch, Activation(action.Stage - 1, action.MicroBatch), model.Options.Device);
        var started = Stopwatch.GetTimestamp();
        var held = _store.Open(action.Stage, action.MicroBatch, microBatch, input);
        var pass = held.Pass = model.Forward(microBatch, input, PassMode.Train);
        if (model.IsLast) _losses.Add(action.MicroBatch, pass.LossSum(), microBatch.TokenCount);
        else Send(action.Stage + 1, Activation(action.Stage, action.MicroBatch), pass.DetachedOutput());
        _recorder.Record(action, asked, ready, started);
    }

    private void Backward(StageAction action)
    {
        var model = _plan.Models[action.Stage];
        var asked = Stopwatch.GetTimestamp();
        using var held = _store.Take(action.Stage, action.MicroBatch);
        var (gradient, ready) = model.IsLast ? (null, 0L) : Take(null, Gradient(action.Stage, action.MicroBatch), model.Options.Device);
        using var owned = gradient;
        var started = Stopwatch.GetTimestamp();
        var inputGradient = model.Backward(held.Pass!, gradient);
        _reduction?.AddLeaf(action.Stage, action.MicroBatch);
        if (inputGradient is not null) Send(action.Stage - 1, Gradient(action.Stage - 1, action.MicroBatch), inputGradient);
        _recorder.Record(action, asked, ready, started);
        if (action.MicroBatch == _plan.Schedule.MicroBatchCount - 1) _end.GradientsComplete(action.Stage);
    }

    private FrameKey Activation(int edge, int microBatch) => new(_step, edge, microBatch, 0, FrameKind.Activation);

    private FrameKey Gradient(int edge, int microBatch) => new(_step, edge, microBatch, 0, FrameKind.Gradient);

    private (torch.Tensor? Tensor, long Ready) Take(MicroBatch? waiting, FrameKey key, torch.Device device)
    {
        try
        {
            var arrived = _inbox.TakeTensor(key);
            return (arrived.Value.Take(device), arrived.Timestamp);
        }
        catch
        {
            waiting?.Dispose();
            throw;
        }
    }

    private void Send(int stage, FrameKey key, torch.Tensor tensor) => _links.Send(_plan.RankOf(stage), key, tensor, AlreadyDone.Instance);
}
