using Pipeline.Coordinator;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Stages;

namespace Pipeline.Nodes;

/// <summary>Turns the text of a run's settings into what a node computes with. Called on tasks and compute threads, never by an actor.</summary>
public interface IRunSource
{
    /// <summary>Opens a run in order to lead it: a new one, or one that a former leader has left.</summary>
    /// <param name="submission">The run.</param>
    /// <param name="leader">Names this leader and no other.</param>
    /// <exception cref="Exception">Whatever makes the run impossible; its message is a sentence for the user.</exception>
    ILedRun Open(RunSubmission submission, string leader);

    /// <summary>Has somebody look after a run that is led here, such as a dashboard; null for nobody.</summary>
    /// <param name="submission">The run.</param>
    /// <param name="desk">Where its commands are carried out.</param>
    /// <param name="token">What a change must show.</param>
    Task<IRunAttendance?> AttendAsync(RunSubmission submission, CommandDesk desk, string token) => Task.FromResult<IRunAttendance?>(null);

    /// <summary>Continues a text with the weights of a run's newest checkpoint, in a way that its ranks do not notice.</summary>
    Task<CommandAnswer> GenerateAsync(RunFiles files, string prompt, CancellationToken cancellation) =>
        Task.FromResult(new CommandAnswer(false, "This node cannot generate. Use: pipeline generate --run DIR --prompt TEXT."));

    /// <summary>Measures what the units of a model cost on this machine.</summary>
    /// <param name="ask">The model, and how long.</param>
    /// <param name="cancellation">Ends it between two rounds: a run goes first.</param>
    /// <returns>The costs; a failure's message is a sentence for people.</returns>
    Task<MeasuredUnits> MeasureAsync(ProfileProtocol.MeasureUnits ask, CancellationToken cancellation) =>
        Task.FromException<MeasuredUnits>(new NotSupportedException("This node measures nothing."));

    /// <summary>What the stages of this node compute with, taken from each assignment's configuration.</summary>
    IStageWorkloadFactory Workloads { get; }
}

/// <summary>Whoever looks after a run beside it, until disposed.</summary>
public interface IRunAttendance : IAsyncDisposable
{
    /// <summary>Where people can look at the run; null for nowhere.</summary>
    Uri? Address { get; }
}

/// <summary>A run as its leader needs it. Owns the files that it writes.</summary>
public interface ILedRun : IDisposable
{
    /// <summary>What its coordinator must know, but for the cluster's part.</summary>
    CoordinatedRun Coordinated { get; }

    /// <summary>Whether another leader has taken the run over meanwhile.</summary>
    bool IsTakenOver { get; }

    /// <summary>Writes the run directory.</summary>
    IRunObserver Recorder { get; }
}
