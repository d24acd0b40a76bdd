using System.Diagnostics;
using Pipeline.Protocol;
using Pipeline.Schedules;
using TorchSharp;
using static Pipeline.Protocol.NeighbourProtocol;

namespace Pipeline.Stages;

/// <summary>
/// What ends a step on one rank: gradients are added up over the replicas, tied ones exchanged and added, the stages' squares go to the rank
/// of stage 0, which tells all what the step amounts to, and every rank applies it or, alike, does not. What others wait for is sent as
/// early as it is known.
/// </summary>
internal sealed class StepEnd(
    RankPlan plan, StageInbox inbox, IStageLinks links, StepRecorder recorder, StepLosses losses, GradientReduction? reduction)
{
    private readonly HashSet<int> _sent = [];
    private StepKey _step;
    private StepOutcome? _outcome;

    /// <summary>What the step amounted to, once its optimizer actions have run.</summary>
    internal StepOutcome Outcome => _outcome ?? throw new InvalidOperationException($"Step {_step.Step} ended without totals: its schedule has no optimizer action.");

    internal void Begin(StepKey step)
    {
        _step = step;
        _sent.Clear();
        _outcome = null;
    }

    /// <summary>After a stage's last backward.</summary>
    internal void GradientsComplete(int stage)
    {
        if (reduction is null) SumKnown(stage);
        else reduction.Contribute(stage, _step);
    }

    /// <summary>Completes what this replica adds up, and answers.</summary>
    internal void Reduce(StageAction action) => Reduction().Reduce(action, _step);

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
            var copy = Copy(tie.Tie.Parameter.Gradient);
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
            tie.Tie.Parameter.Gradient.add_(other);
            recorder.Record(action, asked, arrived.Timestamp, started);
        }
    }

    /// <summary>Sends a stage's contribution to the totals, once a step.</summary>
    internal void SendSquares(int stage)
    {
        if (!_sent.Add(stage)) return;
        var started = Stopwatch.GetTimestamp();
        var (replica, isLast) = (plan.Place.Index, stage == plan.StageCount - 1);
        // All replicas hold the same sums: the first speaks for them.
        IReadOnlyList<double> squares = replica == 0 ? plan.Models[stage].SquaredNorms() : [];
        var contributor = replica * plan.StageCount + stage;
        if (isLast) links.Send(plan.TotalsRank, new SquaredNorms(_step, contributor, squares, losses.LossSums, losses.TokenCount, NonFiniteMicroBatch()));
        else if (replica == 0) links.Send(plan.TotalsRank, new SquaredNorms(_step, contributor, squares, [], 0, -1));
        recorder.Record(StageAction.StepLevel(stage, ActionKind.Norm), started, 0, started);
    }

    /// <summary>Applies the step to one stage, or forgets its gradients.</summary>
    internal void Apply(StageAction action)
    {
        var asked = Stopwatch.GetTimestamp();
        var ready = 0L;
        if (_outcome is null) (_outcome, ready) = plan.MakesTotals ? MakeTotals() : TakeTotals();
        var started = Stopwatch.GetTimestamp();
        var model = plan.Models[action.Stage];
        var optimizer = plan.Workload.Optimizer;
        if (_outcome.Verdict == StepVerdict.Apply)
            model.OptimizerStep(_step.Step, optimizer, optimizer.GradientFactor(_outcome.GradientNorm, _outcome.TokenCount));
        else
            model.ClearGradients();
        recorder.Record(action, asked, ready, started);
    }

    private int NonFiniteMicroBatch() => losses.NonFiniteMicroBatch is >= 0 and var own ? plan.Place.FirstMicroBatch + own : -1;

    private static torch.Tensor Copy(torch.Tensor gradient)
    {
        using var guard = torch.no_grad();
        return gradient.clone().DetachFromDisposeScope();
    }

    private (StepOutcome Outcome, long Ready) MakeTotals()
    {
        var lastStages = Enumerable.Range(1, plan.Place.Count - 1).Select(replica => (replica + 1) * plan.StageCount - 1);
        var contributions = Enumerable.Range(0, plan.StageCount).Concat(lastStages).Select(contributor => inbox.TakeSquares(_step, contributor)).ToArray();
        // What others were told by a lost predecessor is said again, also where it made the step the last.
        var outcome = contributions.Select(contribution => contribution.Value.Known).FirstOrDefault(known => known is not null)
            ?? StepTotalsBuilder.Of([.. contributions.Select(contribution => contribution.Value)]) with { IsLast = inbox.IsEndWanted };
        for (var rank = 0; rank < plan.Schedule.RankCount * plan.Place.Count; rank++)
        {
            if (rank != plan.TotalsRank) links.Send(rank, new StepTotals(_step, outcome));
        }

        return (outcome, contributions.Max(contribution => contribution.Timestamp));
    }

    private (StepOutcome Outcome, long Ready) TakeTotals()
    {
        var arrived = inbox.TakeTotals(_step);
        return (arrived.Value.Outcome, arrived.Timestamp);
    }
}
