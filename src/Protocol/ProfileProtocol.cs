using MessagePack;
using Pipeline.Protocol.Wire;
using static Pipeline.Protocol.OperatorProtocol;

namespace Pipeline.Protocol;

/// <summary>
/// How the costs of a model's units are measured on the nodes of a cluster: an operator asks the leader, the leader asks node after node of each machine, and each
/// answers with what it has measured, as data.
/// </summary>
public static class ProfileProtocol
{
    /// <summary>Sizes of micro-batch times units that one measurement may have, so that its answer is a message of the control plane, whose frames are bounded.</summary>
    public const int MostCosts = 512;

    /// <summary>The longest that a node is asked to measure each size, in seconds.</summary>
    public const double MostSeconds = 600;

    /// <summary>Measure the units on these nodes, or say how far that has come: asked again until it has ended. Answered by <see cref="ProfileStanding"/>.</summary>
    /// <param name="Id">Tells the measurement from others.</param>
    /// <param name="Configuration">Resolved settings as text, which give the model and its arithmetic.</param>
    /// <param name="Sizes">Sizes of micro-batch.</param>
    /// <param name="Seconds">Time for each size.</param>
    /// <param name="Nodes">Which nodes.</param>
    [MessagePackObject]
    public sealed record ProfileNodes(
        [property: Key(0)] string Id,
        [property: Key(1)] string Configuration,
        [property: Key(2)] IReadOnlyList<int> Sizes,
        [property: Key(3)] double Seconds,
        [property: Key(4)] IReadOnlyList<ProfiledNode> Nodes) : IRequest;

    /// <summary>How far a measurement has come.</summary>
    /// <param name="IsDone">Whether it was accepted.</param>
    /// <param name="Sentence">For a refusal expected, found, remedy.</param>
    /// <param name="Nodes">Its nodes.</param>
    [MessagePackObject]
    public sealed record ProfileStanding(
        [property: Key(0)] bool IsDone,
        [property: Key(1)] string Sentence,
        [property: Key(2)] IReadOnlyList<NodeStanding> Nodes) : IWireMessage;

    /// <summary>Hand over what a node has measured. Answered by <see cref="UnitsMeasured"/>.</summary>
    /// <param name="Id">Measurement.</param>
    /// <param name="Address">Address of the node.</param>
    [MessagePackObject]
    public sealed record FetchProfile(
        [property: Key(0)] string Id,
        [property: Key(1)] string Address) : IRequest;

    /// <summary>Measure the units on your machine; answered by <see cref="UnitsMeasured"/>. A node that is at a run, or measures already, refuses.</summary>
    /// <param name="Id">Measurement.</param>
    /// <param name="Configuration">Resolved settings as text.</param>
    /// <param name="Sizes">Sizes of micro-batch.</param>
    /// <param name="Seconds">Time for each size.</param>
    /// <param name="RankCount">Ranks that will compute on the machine: as many threads measure at once.</param>
    [MessagePackObject]
    public sealed record MeasureUnits(
        [property: Key(0)] string Id,
        [property: Key(1)] string Configuration,
        [property: Key(2)] IReadOnlyList<int> Sizes,
        [property: Key(3)] double Seconds,
        [property: Key(4)] int RankCount) : IWireMessage;

    /// <summary>What a node has measured.</summary>
    /// <param name="Id">Measurement.</param>
    /// <param name="Address">Address of the node.</param>
    /// <param name="Costs">The costs; null where there are none.</param>
    /// <param name="Fault">Why there are none, as a sentence; else empty.</param>
    [MessagePackObject]
    public sealed record UnitsMeasured(
        [property: Key(0)] string Id,
        [property: Key(1)] string Address,
        [property: Key(2)] MeasuredUnits? Costs,
        [property: Key(3)] string Fault) : IWireMessage;
}

/// <summary>A node that is to be measured.</summary>
/// <param name="Address">Its address.</param>
/// <param name="RankCount">Ranks that will compute on its machine.</param>
[MessagePackObject]
public sealed record ProfiledNode([property: Key(0)] string Address, [property: Key(1)] int RankCount);

/// <summary>How far the measurement of a node has come.</summary>
/// <param name="Address">Its address.</param>
/// <param name="Phase">One word: waiting, measuring, measured, failed.</param>
/// <param name="Sentence">Why it failed; else empty.</param>
[MessagePackObject]
public sealed record NodeStanding([property: Key(0)] string Address, [property: Key(1)] string Phase, [property: Key(2)] string Sentence);

/// <summary>Costs of all units on one node. They are what the node says: whoever uses them looks whether they can be.</summary>
/// <param name="Precision">Arithmetic.</param>
/// <param name="ActionOverhead">Seconds of an action besides its units.</param>
/// <param name="HopLatency">Seconds from rank to rank.</param>
/// <param name="Sizes">For each size of micro-batch.</param>
[MessagePackObject]
public sealed record MeasuredUnits(
    [property: Key(0)] string Precision,
    [property: Key(1)] double ActionOverhead,
    [property: Key(2)] double HopLatency,
    [property: Key(3)] IReadOnlyList<MeasuredSize> Sizes);

/// <summary>Costs of all units for one size of micro-batch.</summary>
/// <param name="MicroBatchSize">Samples.</param>
/// <param name="Units">In model order.</param>
[MessagePackObject]
public sealed record MeasuredSize([property: Key(0)] int MicroBatchSize, [property: Key(1)] IReadOnlyList<MeasuredUnit> Units);

/// <summary>Costs of one unit: times in seconds, sizes in bytes.</summary>
/// <param name="Name">Name of the unit.</param>
/// <param name="Forward">Forward.</param>
/// <param name="Backward">The whole backward.</param>
/// <param name="InputGradient">Its half for the input.</param>
/// <param name="WeightGradient">Its half for the parameters.</param>
/// <param name="Optimizer">The optimizer's step.</param>
/// <param name="SelectiveRecompute">Making again what selective recomputation drops.</param>
/// <param name="KeptBytes">Activations kept for the backward.</param>
/// <param name="SelectiveKeptBytes">The same where recomputation is selective.</param>
/// <param name="DeferredBytes">What waits for the half for the parameters.</param>
/// <param name="OutputBytes">Output.</param>
/// <param name="StateBytes">Weights, gradients, moments.</param>
/// <param name="GradientBytes">Gradient that replicas exchange.</param>
[MessagePackObject]
public sealed record MeasuredUnit(
    [property: Key(0)] string Name,
    [property: Key(1)] double Forward,
    [property: Key(2)] double Backward,
    [property: Key(3)] double InputGradient,
    [property: Key(4)] double WeightGradient,
    [property: Key(5)] double Optimizer,
    [property: Key(6)] double SelectiveRecompute,
    [property: Key(7)] long KeptBytes,
    [property: Key(8)] long SelectiveKeptBytes,
    [property: Key(9)] long DeferredBytes,
    [property: Key(10)] long OutputBytes,
    [property: Key(11)] long StateBytes,
    [property: Key(12)] long GradientBytes);
