using System.Diagnostics;
using Pipeline.Protocol;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>
/// The reductions of a rank's stages, as the actions of its schedule see them. Owns them. On the compute thread only.
/// </summary>
internal sealed class GradientReduction : IDisposable
{
    private readonly Dictionary<int, StageReduction> _stages;
    private readonly RankPlan _plan;
    private readonly StepRecorder _recorder;

    internal GradientReduction(RankPlan plan, StageInbox inbox, IStageLinks links, StepRecorder recorder)
    {
        _plan = plan;
        _recorder = recorder;
        var replicas = new ReplicaLinks(links, inbox, recorder, plan.Mesh.RankOfUnit);
        _stages = plan.Models.ToDictionary(entry => entry.Key, entry => new StageReduction(entry.Value, plan.Place, plan.Reduction, replicas, plan.Owners, plan.Residuals, plan.CutsOf(entry.Key)));
    }

    /// <summary>One micro-batch's gradients have been added to the flat buffers of some units: what is final is sent, what has come is added up.</summary>
    /// <param name="stage">Stage.</param>
    /// <param name="microBatch">Place among the replica's own micro-batches.</param>
    /// <param name="units">Places in the stage.</param>
    /// <param name="step">Step.</param>
    internal void UnitsFinished(int stage, int microBatch, Range units, StepKey step)
    {
        var isLast = microBatch == _plan.Schedule.MicroBatchCount - 1;
        _stages[stage].UnitsFinished(_plan.Place.FirstMicroBatch + microBatch, units, isLast, step);
        if (!isLast && !_plan.Workload.SharesGradients) return;
        foreach (var reduction in _stages.Values) reduction.Proceed(step);
    }

    /// <summary>A stage's gradients are final: sends what other replicas await and was not sent yet.</summary>
    internal void Contribute(int stage, StepKey step) => _stages[stage].Contribute(step);

    /// <summary>Completes the sums that this replica owns, and answers.</summary>
    internal void Reduce(StageAction action, StepKey step) => Timed(action, stage => stage.Reduce(step));

    /// <summary>Takes the sums that the others own.</summary>
    internal void Gather(StageAction action, StepKey step) => Timed(action, stage => stage.Finish(step));

    /// <summary>Leaves the sums that this replica owns in the flat buffers, where it takes no others.</summary>
    internal void ReduceOwned(StageAction action, StepKey step) => Timed(action, stage => Math.Max(stage.Reduce(step), stage.Finish(step)));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var stage in _stages.Values) stage.Dispose();
    }

    private void Timed(StageAction action, Func<StageReduction, long> work)
    {
        var asked = Stopwatch.GetTimestamp();
        var ready = work(_stages[action.Stage]);
        // What is waited for and what is computed take turns: the action counts from the arrival of its last input.
        _recorder.Record(action, asked, ready, Math.Max(asked, ready));
    }
}
