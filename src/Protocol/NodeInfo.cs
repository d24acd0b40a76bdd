using MessagePack;

namespace Pipeline.Protocol;

/// <summary>What a node says of itself when it joins: who it is, how it is reached, what it can do.</summary>
/// <param name="Id">Who.</param>
/// <param name="ActorPath">Path of the actor that hosts its stages, which lie below it, see <see cref="StagePath"/>.</param>
/// <param name="Roles">Roles among coordinator, stage, operator.</param>
/// <param name="Device">Device of its stages, such as <c>cpu</c>.</param>
/// <param name="ThreadCount">Processors that it may use.</param>
/// <param name="MemoryByteCount">Bytes that its stages and the copies that it holds may take; 0 where that is not known.</param>
/// <param name="Speed">Measured speed of a matrix product in GFLOP/s; 0 where it was not measured.</param>
/// <param name="HostName">Machine, for topology: nodes of one machine may die together.</param>
/// <param name="LinkAddress">Where its tensor links listen; empty where tensors travel as messages.</param>
[MessagePackObject]
public sealed record NodeInfo(
    [property: Key(0)] NodeId Id,
    [property: Key(1)] string ActorPath,
    [property: Key(2)] IReadOnlyList<string> Roles,
    [property: Key(3)] string Device,
    [property: Key(4)] int ThreadCount,
    [property: Key(5)] long MemoryByteCount,
    [property: Key(6)] double Speed,
    [property: Key(7)] string HostName,
    [property: Key(8)] string LinkAddress)
{
    /// <summary>Role of nodes that may lead a run.</summary>
    public const string CoordinatorRole = "coordinator";

    /// <summary>Role of nodes that may hold stages.</summary>
    public const string StageRole = "stage";

    /// <summary>Path of an actor on this node, by its name.</summary>
    public string StagePath(string name) => $"{ActorPath}/{name}";

    /// <summary>
    /// Name of the actor of a rank below the node's actor. It names the run, and the generation in which the rank was put there: whoever receives a message
    /// remembers for each thread which actor a path meant, and what is sent to a later actor at the same path may go to the dead one of a former.
    /// </summary>
    /// <param name="run">Run.</param>
    /// <param name="rank">Rank.</param>
    /// <param name="placedIn">The generation in which it was put on the node; one that stays keeps its name.</param>
    public static string StageName(RunId run, int rank, Generation placedIn) => FormattableString.Invariant($"stage-{rank}-{run}-{placedIn}");

    /// <summary>Path of the actor that holds copies of other nodes' stages.</summary>
    [IgnoreMember]
    public string CopyHolderPath => $"{ActorPath}/{CopyHolderName}";

    /// <summary>Name of the actor that holds copies, below the node's actor.</summary>
    public const string CopyHolderName = "copies";
}
