using System.Diagnostics;
using Pipeline.Model.Numerics;
using Pipeline.Protocol;
using Pipeline.Schedules;
using TorchSharp;
using static Pipeline.Protocol.NeighbourProtocol;

namespace Pipeline.Stages;

/// <summary>
/// What ends a step on one rank: gradients are added up over the replicas, tied ones exchanged and added, the stages' squares go to the rank
/// of stage 0, which tells all what the step amounts to, and every rank applies it or, alike, does not. What others wait for is sent as
/// early as it is known. A rank that does not wait for the outcome takes the step ahead, as if nothing were clipped;
/// <see cref="StepSettlement"/> makes that good.
/// </summary>
internal sealed class StepEnd(
    RankPlan plan, StageInbox inbox, IStageLinks links, StepRecorder recorder, StepLosses losses, TotalsExchange totals, GradientReduction? reduction, WeightExchange? weights, OuterExchange? outer)
{
    private readonly HashSet<int> _sent = [];
    private StepKey _step;
    private bool _waits;
    private bool _isDecided;

    /// <summary>What the step amounted to; null if the rank did not wait for it.</summary>
    internal StepOutcome? Outcome { get; private set; }

    internal void Begin(StepKey step, bool waitsForNorm)
    {
        _step = step;
        _waits = waitsForNorm;
        _isDecided = false;
        _sent.Clear();
        Outcome = null;
    }

    /// <summary>A micro-batch's leaf has been added to some units of a stage.</summary>
    internal void UnitsFinished(int stage, int microBatch, Range units) => reduction?.UnitsFinished(stage, microBatch, units, _step);

    /// <summary>After a stage's last leaf.</summary>
    internal void GradientsComplete(int stage)
    {
        if (reduction is null) SumKnown(stage);
        else reduction.Contribute(stage, _step);
    }

    /// <summary>Completes what this replica adds up, and answers.</summary>
    internal void Reduce(StageAction action)
    {
        if (weights is null)
        {
            Reduction().Reduce(action, _step);
            return;
        }

        // Where no other sum goes back, what this replica owns is complete.
        Reduction().ReduceOwned(action, _step);
        SumKnown(action.Stage);
    }

    /// <summary>Takes what the other replicas add up: from here on all replicas hold the same gradients.</summary>
    internal void Gather(StageAction action)
    {
        Reduction().Gather(action, _step);
        SumKnown(action.Stage);
    }

    private GradientReduction Reduction() =>
        reduction ?? throw new InvalidOperationException($"Schedule {plan.Schedule.Name} adds gradients up over replicas, but the run has one replica that adds them in place.");

    /// <summary>The sum over all micro-batches is there: what others wait for is sent.</summary>
    private void SumKnown(int stage)
    {
        plan.Models[stage].SumLocalTies();
        foreach (var tie in plan.TiesOf(stage))
        {
            var copy = Copy(tie.Tie.Parameter.SummedGradient);
            links.Send(plan.RankOf(tie.OtherStage), tie.Outgoing(_step), copy, AlreadyDone.Instance);
        }

        // A tied use does not count in the norm, so only an owner's squares have to wait for the tied sum.
        if (plan.TiesOf(stage).All(tie => !tie.Tie.IsOwner)) SendSquares(stage);
    }

    /// <summary>Adds the other ends' gradients. Addition commutes, so both ends have the same bits afterwards.</summary>
    internal void SumTies(StageAction action)
    {
        foreach (var tie in plan.TiesOf(action.Stage))
        {
            var asked = Stopwatch.GetTimestamp();
            var arrived = inbox.TakeTensor(tie.Incoming(_step));
            var started = Stopwatch.GetTimestamp();
            using var other = arrived.Value.Take(plan.Workload.Options.Device);
            using var guard = torch.no_grad();
            tie.Tie.Parameter.SummedGradient.AddInPlace(other);
            recorder.Record(action, asked, arrived.Timestamp, started);
        }
    }

    /// <summary>Sends a stage's contribution to the totals, once a step.</summary>
    internal void SendSquares(int stage)
    {
        if (!_sent.Add(stage)) return;
        var started = Stopwatch.GetTimestamp();
        var isLast = stage == plan.StageCount - 1;
        // All replicas hold the same sums, and the first speaks for them; or each holds some, or others. All say something, so that a step is known to be
        // done by nobody before all have begun it, and who was told its totals can say so.
        IReadOnlyList<double> squares = plan.Speaks || plan.StepsLocally ? plan.Models[stage].SquaredNorms() : [];
        var contributor = plan.ContributorOf(stage);
        totals.Send(isLast
            ? new SquaredNorms(_step, contributor, squares, losses.LossSums, losses.TokenCount, NonFiniteMicroBatch())
            : new SquaredNorms(_step, contributor, squares, [], 0, -1));
        recorder.Record(StageAction.StepLevel(stage, ActionKind.Norm), started, 0, started);
    }

    /// <summary>Applies the step to one stage, or forgets its gradients, or takes it ahead where its outcome is not known yet.</summary>
    /// <param name="action">The optimizer action.</param>
    /// <param name="tokenCount">Tokens of the step that this replica has computed.</param>
    internal void Apply(StageAction action, long tokenCount)
    {
        var asked = Stopwatch.GetTimestamp();
        var ready = 0L;
        // One answer for all stages of the rank, so that all are settled in the same way.
        if (!_isDecided && (_waits || totals.AreKnown(_step))) (Outcome, ready) = totals.Take(_step);
        _isDecided = true;
        var started = Stopwatch.GetTimestamp();
        var model = plan.Models[action.Stage];
        var optimizer = plan.OptimizerAt(_step.Step);
        if (Outcome is { Verdict: StepVerdict.Apply }) weights?.Begin(action.Stage, _step);
        if (Outcome is null) model.StepAhead(_step.Step, optimizer, optimizer.UnclippedFactor(tokenCount));
        else if (Outcome.Verdict == StepVerdict.Apply) model.OptimizerStep(_step.Step, optimizer, optimizer.GradientFactor(Outcome.GradientNorm, plan.StepsLocally ? tokenCount : Outcome.TokenCount));
        else model.PassOver(_step.Step, optimizer);
        recorder.Record(action, asked, ready, started);
        if (Outcome is not (null or { Verdict: StepVerdict.Apply })) return;
        weights?.Send(action.Stage, _step);
        outer?.Send(action.Stage, _step);
    }

    /// <summary>Takes the weights that the other replicas have updated; a step that is not applied has none.</summary>
    internal void GatherWeights(StageAction action)
    {
        if (Outcome is not { Verdict: StepVerdict.Apply }) return;
        weights?.Gather(action, _step);
        outer?.Gather(action, _step);
    }

    private int NonFiniteMicroBatch() => losses.NonFiniteMicroBatch is >= 0 and var own ? plan.Place.FirstMicroBatch + own : -1;

    private static torch.Tensor Copy(torch.Tensor gradient)
    {
        using var guard = torch.no_grad();
        return gradient.clone().DetachFromDisposeScope();
    }
}
