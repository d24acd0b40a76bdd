using System.Diagnostics;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Stages;
using TorchSharp;

namespace Pipeline.Training;

/// <summary>The steps of an unsplit run, with evaluations, checkpoints and what follows steps that are not finite. Owns the model.</summary>
internal sealed class ReferenceCourse : IDisposable
{
    private readonly TrainingPlan _plan;
    private readonly IRunObserver _observer;
    private readonly RunPlan _cadence;
    private readonly NonFiniteWatch _nonFinite;
    private readonly SortedSet<long> _saved;
    private StageModel _model;
    private ReferenceTrainer _trainer;
    private Generation _generation = Generation.First;
    private long _committed;

    internal ReferenceCourse(TrainingPlan plan, IRunObserver observer)
    {
        (_plan, _observer, _committed) = (plan, observer, plan.ResumeFromStep);
        _nonFinite = new NonFiniteWatch(plan.NonFinite, plan.ResumeFromStep, plan.SkippedInRow);
        _saved = [plan.ResumeFromStep];
        _cadence = new RunPlan
        {
            StartStep = plan.ResumeFromStep,
            EndStep = plan.Steps,
            EvaluateEvery = plan.EvaluateEvery,
            Saves = plan.Checkpoints is not null,
            SaveEvery = plan.Checkpoints?.SaveEvery ?? 0,
        };
        _model = Model(plan.ResumeFromStep);
        _trainer = Trainer();
    }

    /// <summary>Runs the steps.</summary>
    internal RunOutcome Run(CancellationToken stop)
    {
        for (var step = _plan.ResumeFromStep + 1; step <= _plan.Steps; step++)
        {
            var summary = Timed(step);
            var verdict = _nonFinite.Read(step, summary.Fault);
            if (summary.Fault is { } fault)
            {
                if (verdict == NonFiniteVerdict.End) return new RunOutcome(RunEnd.Failed, _committed, _nonFinite.Ending(fault));
                if (verdict == NonFiniteVerdict.RollBack)
                {
                    step = RollBack(fault);
                    continue;
                }

                if (verdict == NonFiniteVerdict.Skipped) _observer.OnNotice(new RunNotice.Warned("non-finite", step, $"{fault.Sentence}; the step was passed over and changed nothing."));
            }

            if (step <= _committed) continue;
            _committed = step;
            _observer.OnNotice(new RunNotice.StepCommitted(summary));
            if (Conclude(step, stop.IsCancellationRequested && step < _plan.Steps) is { } outcome) return outcome;
        }

        return new RunOutcome(RunEnd.Completed, _plan.Steps);
    }

    /// <inheritdoc/>
    public void Dispose() => _model.Dispose();

    /// <summary>What follows a step: an evaluation, a checkpoint, the end of a run that is to stop.</summary>
    private RunOutcome? Conclude(long step, bool stops)
    {
        if (_cadence.EvaluatesAfter(step)) Evaluate(step);
        var unsaved = _cadence.SavesAfter(step) || (stops && _cadence.Saves) ? Save(_plan.Checkpoints!, step) : null;
        if (unsaved is not null && (stops || step == _plan.Steps)) return new RunOutcome(RunEnd.Failed, step, $"The last checkpoint could not be saved. {unsaved}");
        return stops ? new RunOutcome(RunEnd.Stopped, step) : null;
    }

    private long RollBack(NonFiniteStep fault)
    {
        var target = _nonFinite.Target(_saved);
        ForgetSaved(target);
        _generation = _generation.Next();
        _observer.OnNotice(new RunNotice.RolledBack(_generation, target, $"{fault.Sentence}, and no further step may be passed over in a row: the run goes back to the end of step {target} and tries again."));
        _model.Dispose();
        _model = Model(target);
        _trainer = Trainer();
        _nonFinite.RestartFrom(target);
        return target;
    }

    /// <summary>What was saved after a step holds steps that come again otherwise.</summary>
    private void ForgetSaved(long step)
    {
        _saved.RemoveWhere(saved => saved > step);
        try
        {
            _plan.Checkpoints?.Store.RemoveAfter(step);
        }
        catch (CheckpointException fault)
        {
            _observer.OnNotice(CheckpointKeeper.StaleCheckpoints(step, fault));
        }
    }

    private StageModel Model(long step)
    {
        var device = _plan.Devices.Count == 0 ? torch.CPU : _plan.Devices[0];
        var model = new StageModel(_plan.Units, 0, _plan.Units.Count, new StageOptions(_plan.Precision, device, _plan.Seed));
        if (step == 0) return model;
        using var reader = _plan.Checkpoints!.Store.Open(step);
        StateLoader.Load(model, reader);
        return model;
    }

    private ReferenceTrainer Trainer() => new(_model, _plan.Batches, _plan.Optimizer, _plan.Summation, _plan.ReplicaCount, _plan.ReducesEachMicroBatch);

    private StepSummary Timed(long step)
    {
        var start = Stopwatch.GetTimestamp();
        var result = _trainer.Step(step);
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var timing = new StepTiming(seconds, seconds, 0);
        var digests = _plan.Recording.WantsDigest(step) ? StateDigest.Of(_model) : [];
        return new StepSummary(step, result.Loss, result.GradientNorm, result.LearningRate, result.TokenCount, seconds, 0, [new RankSummary(0, timing, torch.Tensor.TotalCount, [])], digests)
        {
            IsClipped = _plan.Optimizer.At(step).Clips(result.GradientNorm),
            Fault = result.Fault is { } fault ? new NonFiniteStep(step, fault.MicroBatch) : null,
        };
    }

    private void Evaluate(long step)
    {
        var loss = _trainer.Evaluate(_plan.EvaluationMicroBatchCount);
        if (!double.IsNaN(loss)) _observer.OnNotice(new RunNotice.Evaluated(step, loss, 0));
    }

    // A failed save does not end the run, unless it was the last one: the message, or null. The next cadence tries again.
    private string? Save(CheckpointPlan plan, long step)
    {
        var attempt = new SaveAttempt(step, 1);
        try
        {
            var files = StateWriter.Write(plan.Store, attempt, _model).ToList();
            foreach (var (name, text) in plan.Texts ?? new Dictionary<string, string>(StringComparer.Ordinal)) files.Add(plan.Store.WriteText(attempt, name, text));
            var manifest = plan.Store.Commit(attempt, plan.Describe(step), files);
            plan.Store.Prune(plan.KeepCount);
            Keep(step, plan.KeepCount);
            _observer.OnNotice(new RunNotice.CheckpointSaved(step, manifest.Files.Sum(file => file.ByteCount), null));
            return null;
        }
        catch (CheckpointException fault)
        {
            plan.Store.Abandon(attempt);
            _observer.OnNotice(new RunNotice.SaveFailed(step, $"{fault.Message} The run goes on."));
            return fault.Message;
        }
    }

    // The initial weights can always be made anew.
    private void Keep(long step, int count)
    {
        _saved.Add(step);
        var oldest = _saved.Reverse().Take(count).Last();
        _saved.RemoveWhere(one => one != 0 && one < oldest);
    }
}
