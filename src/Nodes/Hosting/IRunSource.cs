using Pipeline.Coordinator;
using Pipeline.Stages;
using Pipeline.Training;

namespace Pipeline.Nodes;

/// <summary>Turns the text of a run's settings into what a node computes with. Called on tasks and compute threads, never by an actor.</summary>
public interface IRunSource
{
    /// <summary>Opens a run in order to lead it.</summary>
    /// <exception cref="Exception">Whatever makes the run impossible; its message is a sentence for the user.</exception>
    ILedRun Open(RunSubmission submission);

    /// <summary>What the stages of this node compute with, taken from each assignment's configuration.</summary>
    IStageWorkloadFactory Workloads { get; }
}

/// <summary>A run as its leader needs it. Owns the files that it writes.</summary>
public interface ILedRun : IDisposable
{
    /// <summary>What is trained.</summary>
    TrainingPlan Plan { get; }

    /// <summary>How it is spread.</summary>
    RunLayout Layout { get; }

    /// <summary>Writes the run directory.</summary>
    IRunObserver Recorder { get; }
}
