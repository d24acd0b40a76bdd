using System.Diagnostics;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Schedules;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// Where each replica updates a share of the weights: sends what it has updated, in the type that is computed with or as compressed differences, and takes what the others
/// have. One frame a unit and owner. Owns its streams. On the compute thread only.
/// </summary>
internal sealed class WeightExchange : IDisposable
{
    private readonly RankPlan _plan;
    private readonly StageInbox _inbox;
    private readonly IStageLinks _links;
    private readonly StepRecorder _recorder;
    private readonly WeightRoutes _routes;
    private readonly Dictionary<int, UnitWeights[]> _stages;

    internal WeightExchange(RankPlan plan, OptimizerOwners owners, StageInbox inbox, IStageLinks links, StepRecorder recorder)
    {
        (_plan, _inbox, _links, _recorder) = (plan, inbox, links, recorder);
        _routes = WeightRoutes.Of(plan.Reduction, plan.Place);
        _stages = plan.Models.ToDictionary(entry => entry.Key, entry => entry.Value.Units.SelectMany(unit => WeightsOf(plan, unit, owners)).ToArray());
    }

    /// <summary>Before this replica updates its share of a stage.</summary>
    internal void Begin(int stage, StepKey step)
    {
        foreach (var weights in _stages[stage].Where(IsOwn)) weights.Begin(step.Step);
    }

    /// <summary>Sends the weights of a stage that this replica has just updated.</summary>
    internal void Send(int stage, StepKey step)
    {
        foreach (var weights in _stages[stage].Where(IsOwn))
        {
            using var joined = weights.Encode(step.Step);
            Send(weights, joined, step);
        }
    }

    /// <summary>Takes the weights of a stage that the others have updated, and passes on what others of its group await.</summary>
    internal void Gather(StageAction action, StepKey step)
    {
        var asked = Stopwatch.GetTimestamp();
        var ready = 0L;
        foreach (var weights in _stages[action.Stage].Where(weights => !IsOwn(weights)))
        {
            var arrived = _inbox.TakeTensor(KeyOf(weights, step));
            using var joined = arrived.Value.Take(CPU);
            Send(weights, joined, step);
            weights.Decode(joined, step.Step);
            ready = Math.Max(ready, arrived.Timestamp);
        }

        _recorder.Record(action, asked, ready, Math.Max(asked, ready));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var weights in _stages.Values.SelectMany(stage => stage)) weights.Dispose();
    }

    private bool IsOwn(UnitWeights weights) => weights.Owner == _plan.Place.Index;

    private void Send(UnitWeights weights, Tensor joined, StepKey step)
    {
        foreach (var replica in _routes.Targets(_plan.Place.Index, weights.Owner))
        {
            _recorder.Exchanged(joined.numel());
            _links.Send(_plan.Mesh.RankOfUnit(replica, weights.Unit.Index), KeyOf(weights, step), KeptMessages.Alias(joined), AlreadyDone.Instance);
        }
    }

    private static IEnumerable<UnitWeights> WeightsOf(RankPlan plan, UnitState unit, OptimizerOwners owners) =>
        from replica in Enumerable.Range(0, plan.Place.Count)
        let parameters = unit.Parameters.Where(parameter => owners[parameter.FullName] == replica).ToArray()
        where parameters.Length > 0
        select new UnitWeights(unit, replica, parameters, plan.Reduction.Answers, replica == plan.Place.Index ? plan.Residuals : null, plan.Workload.Options.Seed);

    /// <summary>The unit stands where other frames name an edge, the owner instead of the micro-batch.</summary>
    private static FrameKey KeyOf(UnitWeights weights, StepKey step) => new(step, weights.Unit.Index, weights.Owner, 0, FrameKind.UpdatedWeights);
}
