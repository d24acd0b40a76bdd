using Akka.Actor;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>What a run tells those who watch it: the command line, the run directory, a user's program. Stays in the process.</summary>
public abstract record RunNotice : INoSerializationVerificationNeeded
{
    private RunNotice()
    {
    }

    /// <summary>Every stage has its units; steps begin.</summary>
    /// <param name="ParameterCount">Parameters over all stages.</param>
    public sealed record StagesReady(long ParameterCount) : RunNotice;

    /// <summary>Every rank has completed a step. Comes once for each step, in order.</summary>
    public sealed record StepCommitted(StepSummary Step) : RunNotice;

    /// <summary>The loss of the held-out text is known.</summary>
    /// <param name="AfterStep">The weights are those after this step.</param>
    /// <param name="Loss">Mean loss in nats per token.</param>
    /// <param name="TokenCount">Tokens evaluated.</param>
    public sealed record Evaluated(long AfterStep, double Loss, long TokenCount) : RunNotice;

    /// <summary>A checkpoint exists.</summary>
    /// <param name="Step">The state is that after this step.</param>
    /// <param name="ByteCount">Size of its files.</param>
    /// <param name="Warning">Why older ones could not be removed; null if they could.</param>
    public sealed record CheckpointSaved(long Step, long ByteCount, string? Warning) : RunNotice;

    /// <summary>A checkpoint could not be saved; the run goes on.</summary>
    /// <param name="Step">Step whose state it was.</param>
    /// <param name="Message">Why, and what is done next.</param>
    public sealed record SaveFailed(long Step, string Message) : RunNotice;

    /// <summary>A stage cannot go on; the run ends.</summary>
    public sealed record StageFailed(StageProtocol.StageFailed Failure) : RunNotice;

    /// <summary>The run has been asked to stop after the step that is under way.</summary>
    /// <param name="EndStep">The step after which it stops at the latest.</param>
    public sealed record Stopping(long EndStep) : RunNotice;

    /// <summary>No step beyond this one is granted for the time being.</summary>
    public sealed record Paused(long Step) : RunNotice;

    /// <summary>Steps are granted again.</summary>
    /// <param name="Step">Last committed step.</param>
    public sealed record Resumed(long Step) : RunNotice;

    /// <summary>A setting has another value from a step on.</summary>
    public sealed record SettingChanged(SettingChange Change) : RunNotice;

    /// <summary>An operator's command was carried out, or refused.</summary>
    /// <param name="Operator">Who, as far as is known.</param>
    /// <param name="Command">The command's text.</param>
    /// <param name="IsDone">Whether it was carried out.</param>
    /// <param name="Result">What came of it.</param>
    /// <param name="Id">Tells the call from all others, so that no later leader carries it out again; empty for none.</param>
    public sealed record Commanded(string Operator, string Command, bool IsDone, string Result, string Id = "") : RunNotice;

    /// <summary>Something looks wrong to whoever watches the run.</summary>
    /// <param name="Kind">What, in a word joined by dashes, such as <c>loss-spike</c>.</param>
    /// <param name="Step">Step.</param>
    /// <param name="Message">A sentence.</param>
    public sealed record Warned(string Kind, long Step, string Message) : RunNotice;

    /// <summary>Something went wrong, and this is what the ranks were at.</summary>
    public sealed record FlightGathered(FlightDump Dump) : RunNotice;

    /// <summary>A node may take ranks.</summary>
    public sealed record NodeJoined(NodeInfo Node) : RunNotice;

    /// <summary>A node was given up.</summary>
    /// <param name="Node">Which.</param>
    /// <param name="Reason">Why.</param>
    public sealed record NodeLost(NodeInfo Node, string Reason) : RunNotice;

    /// <summary>Ranks were placed for the first time.</summary>
    /// <param name="Nodes">By rank.</param>
    /// <param name="Holders">By rank, who holds its copies; null for nobody.</param>
    public sealed record Placed(IReadOnlyList<NodeInfo> Nodes, IReadOnlyList<NodeId?> Holders) : RunNotice;

    /// <summary>A generation begins because something was lost, or may have been.</summary>
    /// <param name="Generation">Its number.</param>
    /// <param name="Reason">Why.</param>
    /// <param name="Ranks">The ranks that run again from an earlier state, and where; none where only messages were lost.</param>
    public sealed record Recovering(Generation Generation, string Reason, IReadOnlyList<(int Rank, NodeId Node)> Ranks) : RunNotice;

    /// <summary>The first step is committed after a loss.</summary>
    /// <param name="Generation">Generation that commits it.</param>
    /// <param name="Placement">From the suspicion until the new assignment was sent.</param>
    /// <param name="Loading">Until every rank had its state.</param>
    /// <param name="Replay">Until the next step was committed.</param>
    public sealed record Recovered(Generation Generation, TimeSpan Placement, TimeSpan Loading, TimeSpan Replay) : RunNotice;

    /// <summary>A generation begins in which all ranks run again from a checkpoint, since steps were not finite.</summary>
    /// <param name="Generation">Its number.</param>
    /// <param name="Step">They start from the end of this step.</param>
    /// <param name="Reason">What was not finite.</param>
    public sealed record RolledBack(Generation Generation, long Step, string Reason) : RunNotice;

    /// <summary>Units have changed hands.</summary>
    /// <param name="Step">At the end of this step.</param>
    /// <param name="UnitCounts">Units of each stage now.</param>
    public sealed record UnitsMoved(long Step, IReadOnlyList<int> UnitCounts) : RunNotice;

    /// <summary>Gradients are added up on each machine first.</summary>
    /// <param name="Groups">A machine and its replicas, as people read them.</param>
    /// <param name="AreSubtrees">Whether each group is a subtree of the balanced tree over the replicas: then it sends one sum on, otherwise several. No bit depends on it.</param>
    public sealed record Grouped(IReadOnlyList<string> Groups, bool AreSubtrees) : RunNotice;

    /// <summary>The run goes on with another number of replicas, which share the same micro-batches.</summary>
    /// <param name="Step">From the end of this step on; what was committed beyond it is computed again, and committed once.</param>
    /// <param name="From">Replicas so far.</param>
    /// <param name="To">Replicas from then on.</param>
    /// <param name="Reason">Why.</param>
    /// <param name="IsOtherOrder">Whether gradients are added up in another order from then on: the bits are others than those of a run that kept its replicas.</param>
    public sealed record ReplicasChanged(long Step, int From, int To, string Reason, bool IsOtherOrder) : RunNotice;

    /// <summary>The run is over and its stages have stopped: the last notice.</summary>
    public sealed record Ended(RunOutcome Outcome) : RunNotice;
}

/// <summary>
/// Watches a run. Called by one actor of its own, one notice after the other, so it may write files without holding up the run.
/// </summary>
public interface IRunObserver
{
    /// <summary>Something happened.</summary>
    void OnNotice(RunNotice notice);
}
