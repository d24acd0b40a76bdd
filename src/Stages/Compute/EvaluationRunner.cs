using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>Passes held-out micro-batches forward through the rank's stages; the last stage adds up their loss. Keeps nothing.</summary>
internal sealed class EvaluationRunner(RankPlan plan, StageInbox inbox, IStageLinks links)
{
    /// <summary>The action under way, for errors.</summary>
    internal StageAction? Current { get; private set; }

    /// <summary>Runs one evaluation; summed loss and tokens on the rank of the last stage, null elsewhere.</summary>
    internal (double LossSum, long TokenCount)? Run(long afterStep, int microBatchCount)
    {
        double lossSum = 0;
        long tokenCount = 0;
        var step = plan.KeyOf(afterStep);
        // All replicas have the same weights, or each its own until they next meet: the first evaluates for them.
        if (plan.Place.Index > 0)
        {
            inbox.FinishPhase(StageInbox.EvaluationPhase(afterStep));
            return null;
        }

        foreach (var action in ForwardOnly.Generate(plan.Schedule.RankOfStage, microBatchCount).Actions[plan.Rank])
        {
            inbox.ThrowIfClosed();
            Current = action;
            var model = plan.Models[action.Stage];
            // The held-out text may have fewer micro-batches than asked for; every rank sees its end alike.
            using var microBatch = plan.Workload.Batches.Validation(action.MicroBatch, model.Options.Device);
            if (microBatch is null) continue;
            var loss = Forward(action, model, microBatch, step);
            if (!model.IsLast) continue;
            lossSum += loss;
            tokenCount += microBatch.TokenCount;
        }

        Current = null;
        inbox.FinishPhase(StageInbox.EvaluationPhase(afterStep));
        return plan.Models.ContainsKey(plan.StageCount - 1) ? (lossSum, tokenCount) : null;
    }

    private double Forward(StageAction action, StageModel model, MicroBatch microBatch, StepKey step)
    {
        using var input = model.IsFirst ? null : inbox.TakeTensor(Key(step, action.Stage - 1, action.MicroBatch)).Value.Take(model.Options.Device);
        using var pass = model.Forward(microBatch, input, PassMode.Eval);
        if (model.IsLast) return pass.LossSum();
        links.Send(plan.RankOf(action.Stage + 1), Key(step, action.Stage, action.MicroBatch), pass.DetachedOutput(), AlreadyDone.Instance);
        return 0;
    }

    private static FrameKey Key(StepKey step, int edge, int microBatch) => new(step, edge, microBatch, 0, FrameKind.EvaluationActivation);
}
