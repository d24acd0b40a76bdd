using System.Diagnostics;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction;
using Pipeline.Schedules;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// Where replicas take steps of their own: brings the weights of a rank's stages together with those of the other replicas, every so many steps.
/// What each has moved travels as gradients do, compressed with residuals where these are. Owns its buffers. On the compute thread only.
/// </summary>
internal sealed class OuterExchange : IDisposable
{
    private readonly RankPlan _plan;
    private readonly StageInbox _inbox;
    private readonly IStageLinks _links;
    private readonly StepRecorder _recorder;
    private readonly OuterStep _settings;
    private readonly Dictionary<int, (OuterWeights Weights, StageReduction Reduction)> _stages;

    internal OuterExchange(RankPlan plan, StageInbox inbox, IStageLinks links, StepRecorder recorder)
    {
        (_plan, _inbox, _links, _recorder) = (plan, inbox, links, recorder);
        _settings = plan.Workload.Reduction.Outer ?? throw new UnreachableException("an outer exchange without an outer step");
        var replicas = new ReplicaLinks(links, inbox, recorder, plan.Mesh.RankOfUnit);
        _stages = plan.Models.ToDictionary(entry => entry.Key, entry => (
            new OuterWeights(entry.Value, plan.Residuals, _settings, plan.Place.Count),
            new StageReduction(entry.Value, plan.Place, plan.Reduction, replicas, owners: null, plan.Residuals, plan.CutsOf(entry.Key))));
    }

    /// <summary>After a stage's own step: sends what the replica has moved since the last meeting, where one ends the step.</summary>
    internal void Send(int stage, StepKey step)
    {
        if (!_settings.Follows(step.Step)) return;
        var (weights, reduction) = _stages[stage];
        weights.PutMoved();
        reduction.Contribute(step);
    }

    /// <summary>Takes the outer step with what all have moved: all replicas hold the same weights afterwards.</summary>
    internal void Gather(StageAction action, StepKey step)
    {
        if (!_settings.Follows(step.Step)) return;
        var asked = Stopwatch.GetTimestamp();
        var (weights, reduction) = _stages[action.Stage];
        var ready = Math.Max(reduction.Reduce(step), reduction.Finish(step));
        ready = Math.Max(ready, ShareTies(action.Stage, step));
        weights.Step();
        _recorder.Record(action, asked, ready, Math.Max(asked, ready));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var (_, reduction) in _stages.Values) reduction.Dispose();
    }

    /// <summary>Both ends of a tied parameter take the step with what came of the owner's: compressed by itself, each would get something else.</summary>
    private long ShareTies(int stage, StepKey step)
    {
        using var guard = torch.no_grad();
        foreach (var tie in _plan.TiesOf(stage).Where(tie => tie.Tie.IsOwner))
            _links.Send(_plan.RankOf(tie.OtherStage), KeyOf(tie, step), tie.Tie.Parameter.Gradient.clone().DetachFromDisposeScope(), AlreadyDone.Instance);
        var ready = 0L;
        foreach (var tie in _plan.TiesOf(stage).Where(tie => !tie.Tie.IsOwner))
        {
            var arrived = _inbox.TakeTensor(KeyOf(tie, step));
            using var moved = arrived.Value.Take(_plan.Workload.Options.Device);
            tie.Tie.Parameter.Gradient.copy_(moved);
            ready = Math.Max(ready, arrived.Timestamp);
        }

        return ready;
    }

    /// <summary>The gradients of ties travel in the same step under micro-batch 0.</summary>
    private static FrameKey KeyOf(RemoteTie tie, StepKey step) => (tie.Tie.IsOwner ? tie.Outgoing(step) : tie.Incoming(step)) with { MicroBatch = 1 };
}
