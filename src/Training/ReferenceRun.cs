using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model.Numerics;

namespace Pipeline.Training;

/// <summary>
/// Trains a plan with the unsplit <see cref="Model.Training.ReferenceTrainer"/> in the calling thread, and tells the same notices as a pipeline: what
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
        using ReferenceCourse course = new(plan, observer);
        observer.OnNotice(new RunNotice.StagesReady(plan.Units.SelectMany(unit => unit.Parameters).Where(spec => spec.TiedTo is null).Sum(spec => spec.ElementCount)));
        var outcome = course.Run(stop);
        observer.OnNotice(new RunNotice.Ended(outcome));
        return outcome;
    }
}
