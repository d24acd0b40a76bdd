namespace Pipeline.Coordinator;

/// <summary>How long a coordinator waits before it acts on silence. Zero switches a wait off: nothing is done about it.</summary>
public sealed record RecoverySettings
{
    /// <summary>For coordinator and stages that live and die together.</summary>
    public static RecoverySettings None { get; } = new();

    /// <summary>A node that has not beaten for so long is given up.</summary>
    public TimeSpan SuspectAfter { get; init; }

    /// <summary>When nothing at all has moved for so long, or for eight median steps if that is longer, all ranks say again what others may lack.</summary>
    public TimeSpan StallAfter { get; init; }

    /// <summary>After so many repeats in a row that moved nothing, the run stops and says what is missing.</summary>
    public int RepeatLimit { get; init; } = 3;

    /// <summary>
    /// While nothing moves, a rank whose thread has neither begun nor ended an action for so long, or for twenty median steps if that is longer, is given up with its node.
    /// </summary>
    public TimeSpan HangAfter { get; init; }

    /// <summary>Whether a successor whose node holds ranks hands them to spares at a step's end.</summary>
    public bool RelievesLeader { get; init; }

    /// <summary>A checkpoint of which parts are missing for so long is tried anew.</summary>
    public TimeSpan SaveStallAfter { get; init; }

    /// <summary>How long a run waits for the nodes that it asks for, and a new coordinator for what nodes host.</summary>
    public TimeSpan NodePatience { get; init; } = TimeSpan.FromSeconds(60);
}
