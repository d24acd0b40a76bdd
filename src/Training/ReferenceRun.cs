using System.Diagnostics;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Stages;
using TorchSharp;

namespace Pipeline.Training;

/// <summary>
/// Trains a plan with the unsplit <see cref="ReferenceTrainer"/> in the calling thread, and tells the same notices as a pipeline: what
/// any layout of the plan is held against.
/// </summary>
public static class ReferenceRun
{
    /// <summary>Trains to the plan's end, or to the end of the step in which a stop is asked for.</summary>
    /// <exception cref="CheckpointException">The checkpoint to go on from cannot be used.</exception>
    public static RunOutcome Train(TrainingPlan plan, IRunObserver observer, CancellationToken stop)
    {
        TorchRuntime.Initialize();
        TorchRuntime.UseThreads(plan.ThreadsPerStage);
        using var model = Model(plan);
        observer.OnNotice(new RunNotice.StagesReady(plan.Units.SelectMany(unit => unit.Parameters).Where(spec => spec.TiedTo is null).Sum(spec => spec.ElementCount)));
        var outcome = Steps(plan, model, observer, stop);
        observer.OnNotice(new RunNotice.Ended(outcome));
        return outcome;
    }

    private static StageModel Model(TrainingPlan plan)
    {
        var device = plan.Devices.Count == 0 ? torch.CPU : plan.Devices[0];
        var model = new StageModel(plan.Units, 0, plan.Units.Count, new StageOptions(plan.Precision, device, plan.Seed));
        if (plan.ResumeFromStep == 0) return model;
        using var reader = plan.Checkpoints!.Store.Open(plan.ResumeFromStep);
        StateLoader.Load(model, reader);
        return model;
    }

    private static RunOutcome Steps(TrainingPlan plan, StageModel model, IRunObserver observer, CancellationToken stop)
    {
        var trainer = new ReferenceTrainer(model, plan.Batches, plan.Optimizer, plan.Summation, plan.ReplicaCount, plan.ReducesEachMicroBatch);
        var cadence = new RunPlan
        {
            StartStep = plan.ResumeFromStep,
            EndStep = plan.Steps,
            EvaluateEvery = plan.EvaluateEvery,
            Saves = plan.Checkpoints is not null,
            SaveEvery = plan.Checkpoints?.SaveEvery ?? 0,
        };
        for (var step = plan.ResumeFromStep + 1; step <= plan.Steps; step++)
        {
            try
            {
                observer.OnNotice(new RunNotice.StepCommitted(Timed(plan, model, trainer, step)));
            }
            catch (NonFiniteLossException fault)
            {
                return new RunOutcome(RunEnd.Failed, step - 1, fault.Message);
            }

            if (cadence.EvaluatesAfter(step)) Evaluate(plan, trainer, observer, step);
            var stops = stop.IsCancellationRequested && step < plan.Steps;
            var unsaved = cadence.SavesAfter(step) || (stops && cadence.Saves) ? Save(plan.Checkpoints!, model, observer, step) : null;
            if (unsaved is not null && (stops || step == plan.Steps)) return new RunOutcome(RunEnd.Failed, step, $"The last checkpoint could not be saved. {unsaved}");
            if (stops) return new RunOutcome(RunEnd.Stopped, step);
        }

        return new RunOutcome(RunEnd.Completed, plan.Steps);
    }

    private static StepSummary Timed(TrainingPlan plan, StageModel model, ReferenceTrainer trainer, long step)
    {
        var start = Stopwatch.GetTimestamp();
        var result = trainer.Step(step);
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var timing = new StepTiming(seconds, seconds, 0);
        var digests = plan.Recording.WantsDigest(step) ? StateDigest.Of(model) : [];
        return new StepSummary(step, result.Loss, result.GradientNorm, result.LearningRate, result.TokenCount, seconds, 0,
            [new RankSummary(0, timing, torch.Tensor.TotalCount, [])], digests);
    }

    private static void Evaluate(TrainingPlan plan, ReferenceTrainer trainer, IRunObserver observer, long step)
    {
        var loss = trainer.Evaluate(plan.EvaluationMicroBatchCount);
        if (!double.IsNaN(loss)) observer.OnNotice(new RunNotice.Evaluated(step, loss, 0));
    }

    // A failed save does not end the run, unless it was the last one: the message, or null. The next cadence tries again.
    private static string? Save(CheckpointPlan plan, StageModel model, IRunObserver observer, long step)
    {
        var attempt = new SaveAttempt(step, 1);
        try
        {
            var files = StateWriter.Write(plan.Store, attempt, model).ToList();
            foreach (var (name, text) in plan.Texts ?? new Dictionary<string, string>(StringComparer.Ordinal)) files.Add(plan.Store.WriteText(attempt, name, text));
            var manifest = plan.Store.Commit(attempt, plan.Describe(step), files);
            plan.Store.Prune(plan.KeepCount);
            observer.OnNotice(new RunNotice.CheckpointSaved(step, manifest.Files.Sum(file => file.ByteCount), null));
            return null;
        }
        catch (CheckpointException fault)
        {
            plan.Store.Abandon(attempt);
            observer.OnNotice(new RunNotice.SaveFailed(step, $"{fault.Message} The run goes on."));
            return fault.Message;
        }
    }
}
