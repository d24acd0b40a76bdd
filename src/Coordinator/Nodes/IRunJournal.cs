using Pipeline.Protocol;
using Pipeline.Schedules;

namespace Pipeline.Coordinator;

/// <summary>
/// What a coordinator decides, written where its successor finds it. Only one coordinator may write: whoever holds the highest generation.
/// </summary>
public interface IRunJournal
{
    /// <summary>Writes a decision; it is durable when the call returns. Called on a task, one call at a time.</summary>
    /// <exception cref="JournalException">A successor has taken the run over: the caller must end.</exception>
    void Record(JournalEntry entry);

    /// <summary>Whether a successor has taken the run over; then nothing more may be recorded of it here. Called before every notice.</summary>
    bool IsSuperseded { get; }
}

/// <summary>The journal does not take the entry: the run is led by another coordinator.</summary>
public sealed class JournalException(string message) : Exception(message);

/// <summary>A run as its coordinator last decided it. The newest entry replaces all former ones.</summary>
/// <param name="Run">Run.</param>
/// <param name="Generation">Assignment.</param>
/// <param name="PartitionedIn">The generation since which the ranks hold their units.</param>
/// <param name="UnitCounts">Units of each stage.</param>
/// <param name="Schedule">The schedule in text form.</param>
/// <param name="Nodes">Node of each rank.</param>
/// <param name="Base">The state that the ranks' units began from.</param>
/// <param name="ProtectedStep">Kept messages reach back to the end of this step, or less far.</param>
/// <param name="IsStopWanted">Whether the run was asked to stop.</param>
/// <param name="Changes">What was changed since the run began; null for nothing.</param>
/// <param name="Others">Replicas that compute other micro-batches than the schedule says, or on other stages, in their order; null for none.</param>
/// <param name="MostPerNode">The most ranks that one node was given when the run began; 0 where that is not known.</param>
/// <param name="Machines">By replica, the number of its machine when the ranks were given their units; null where nobody asks.</param>
/// <param name="Failures">How often the run has failed in which way, and was rolled back; null for never.</param>
/// <param name="Hangs">At which steps ranks have hung, and were given another machine; null for none.</param>
public sealed record JournalEntry(
    RunId Run,
    Generation Generation,
    Generation PartitionedIn,
    IReadOnlyList<int> UnitCounts,
    string Schedule,
    IReadOnlyList<NodeId> Nodes,
    StartingPoint Base,
    long ProtectedStep,
    bool IsStopWanted,
    IReadOnlyList<SettingChange>? Changes = null,
    IReadOnlyList<OtherReplicas>? Others = null,
    int MostPerNode = 0,
    IReadOnlyList<int>? Machines = null,
    IReadOnlyList<CountedFailure>? Failures = null,
    IReadOnlyList<KnownHang>? Hangs = null)
{
    /// <summary>The replicas that there were: the nodes are those of all their ranks, and of those that add up beside them.</summary>
    /// <param name="hasReducers">Whether several replicas have ranks that add up beside them.</param>
    /// <exception cref="ScheduleException">A schedule cannot be read.</exception>
    public ReplicaMesh Replicas(bool hasReducers)
    {
        var reducers = hasReducers ? ScheduleText.Parse(Schedule).RankCount : 0;
        return ReplicaMesh.OfRanks(UnitCounts, Schedule, Others, Nodes.Count > reducers ? Nodes.Count - reducers : Nodes.Count, hasReducers);
    }
}

/// <summary>What a coordinator finds of its predecessor.</summary>
/// <param name="Entry">The newest entry of the journal.</param>
/// <param name="RecordedStep">The last step that is recorded in the run's directory.</param>
/// <param name="RecordedEvaluation">Evaluations after steps through this one are recorded.</param>
/// <param name="CheckpointStep">Step of the newest checkpoint; the start's where there is none.</param>
/// <param name="SkippedInRow">Steps up to and with the last recorded one that were passed over, since they were not finite.</param>
public sealed record Predecessor(JournalEntry Entry, long RecordedStep, long RecordedEvaluation, long CheckpointStep, int SkippedInRow = 0);
