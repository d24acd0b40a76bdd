using System.Globalization;
using MessagePack;

namespace Pipeline.Protocol;

/// <summary>Names a run on the wire. A number, so that every frame can carry it.</summary>
/// <param name="Value">Any 64 bits; a hash of the run's name and start.</param>
[MessagePackObject]
public readonly record struct RunId([property: Key(0)] ulong Value)
{
    /// <inheritdoc/>
    public override string ToString() => Value.ToString("x16", CultureInfo.InvariantCulture);
}

/// <summary>
/// The number of the current assignment of stages to processes. It rises at every recovery; what carries a lower one is refused by
/// one comparison.
/// </summary>
/// <param name="Number">From 1.</param>
[MessagePackObject]
public readonly record struct Generation([property: Key(0)] int Number) : IComparable<Generation>
{
    /// <summary>No assignment: what keys inside a rank carry, where inputs of all generations are the same.</summary>
    public static Generation None => default;

    /// <summary>The first assignment of a run.</summary>
    public static Generation First => new(1);

    /// <summary>The assignment after this one.</summary>
    public Generation Next() => new(Number + 1);

    /// <inheritdoc/>
    public int CompareTo(Generation other) => Number.CompareTo(other.Number);

    /// <summary>Whether this assignment was replaced by the other.</summary>
    public static bool operator <(Generation left, Generation right) => left.Number < right.Number;

    /// <summary>Whether this assignment replaced the other.</summary>
    public static bool operator >(Generation left, Generation right) => left.Number > right.Number;

    /// <summary>Not replaced by.</summary>
    public static bool operator >=(Generation left, Generation right) => left.Number >= right.Number;

    /// <summary>Not replacing.</summary>
    public static bool operator <=(Generation left, Generation right) => left.Number <= right.Number;

    /// <inheritdoc/>
    public override string ToString() => Number.ToString(CultureInfo.InvariantCulture);
}

/// <summary>One life of one node: a process that comes back under the same address is another node.</summary>
/// <param name="Address">Where the node's actor system is reached, such as <c>akka.tcp://pipeline@host:4053</c>.</param>
/// <param name="Incarnation">Any number that no former life of the address had.</param>
[MessagePackObject]
public readonly record struct NodeId([property: Key(0)] string Address, [property: Key(1)] long Incarnation) : IComparable<NodeId>
{
    /// <summary>By address, then by incarnation: an order that all nodes agree on.</summary>
    public int CompareTo(NodeId other) => string.CompareOrdinal(Address, other.Address) is var order && order != 0 ? order : Incarnation.CompareTo(other.Incarnation);

    /// <summary>Before the other in the common order.</summary>
    public static bool operator <(NodeId left, NodeId right) => left.CompareTo(right) < 0;

    /// <summary>After the other in the common order.</summary>
    public static bool operator >(NodeId left, NodeId right) => left.CompareTo(right) > 0;

    /// <summary>Not after the other in the common order.</summary>
    public static bool operator <=(NodeId left, NodeId right) => left.CompareTo(right) <= 0;

    /// <summary>Not before the other in the common order.</summary>
    public static bool operator >=(NodeId left, NodeId right) => left.CompareTo(right) >= 0;

    /// <inheritdoc/>
    public override string ToString() => $"{Address}#{Incarnation.ToString("x", CultureInfo.InvariantCulture)}";
}

/// <summary>One try at one step of one assignment: what every message between stages is keyed by.</summary>
/// <param name="Run">Run.</param>
/// <param name="Generation">Assignment.</param>
/// <param name="Attempt">
/// What the step's weights follow from: 0 the former step taken unclipped, which may be assumed before it is known, 1 the former step
/// clipped. So an input that was computed on an assumption can never be taken for one that was not.
/// </param>
/// <param name="Step">Step, counted from 1; for an evaluation the step after which it runs.</param>
[MessagePackObject]
public readonly record struct StepKey(
    [property: Key(0)] RunId Run,
    [property: Key(1)] Generation Generation,
    [property: Key(2)] int Attempt,
    [property: Key(3)] long Step)
{
    /// <summary>The same step, said in another assignment.</summary>
    public StepKey In(Generation generation) => this with { Generation = generation };
}
