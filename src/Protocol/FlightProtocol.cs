using MessagePack;

namespace Pipeline.Protocol;

/// <summary>
/// How a coordinator gathers what its ranks' flight recorders hold: the last actions, messages and waits of each. Any rank answers in any
/// state, also one that has failed, whatever the generation.
/// </summary>
public static class FlightProtocol
{
    /// <summary>Say what your recorder holds; answered by <see cref="FlightReported"/>.</summary>
    /// <param name="Generation">Assignment, for the record.</param>
    /// <param name="Request">Tells the answers to this question from others.</param>
    [MessagePackObject]
    public sealed record ReportFlight([property: Key(0)] Generation Generation, [property: Key(1)] long Request) : StageProtocol.ICommand;

    /// <summary>What a rank's recorder holds.</summary>
    /// <param name="Generation">The rank's assignment.</param>
    /// <param name="Rank">Rank.</param>
    /// <param name="Request">The question that it answers.</param>
    /// <param name="Flight">The recording.</param>
    [MessagePackObject]
    public sealed record FlightReported(
        [property: Key(0)] Generation Generation,
        [property: Key(1)] int Rank,
        [property: Key(2)] long Request,
        [property: Key(3)] RankFlight Flight) : StageProtocol.IEvent
    {
        /// <inheritdoc/>
        public StageProtocol.IEvent In(Generation generation) => this with { Generation = generation };
    }
}

/// <summary>What a rank did last and is at.</summary>
/// <param name="Rank">Rank.</param>
/// <param name="CompletedStep">The last step that it has completed.</param>
/// <param name="Doing">What it is at, as a few words: an action, a wait, or how it ended.</param>
/// <param name="AwaitedRank">The rank that must speak before it goes on; -1 where it waits for none.</param>
/// <param name="Entries">Oldest first.</param>
[MessagePackObject]
public sealed record RankFlight(
    [property: Key(0)] int Rank,
    [property: Key(1)] long CompletedStep,
    [property: Key(2)] string Doing,
    [property: Key(3)] int AwaitedRank,
    [property: Key(4)] IReadOnlyList<FlightEntry> Entries);

/// <summary>One thing that a rank did or that came to it.</summary>
/// <param name="Age">How long before the report, in units of 100 ns.</param>
/// <param name="Kind">What happened.</param>
/// <param name="Subject">To what, as a few words.</param>
/// <param name="Peer">The other rank; -1 for none.</param>
[MessagePackObject]
public sealed record FlightEntry(
    [property: Key(0)] long Age,
    [property: Key(1)] FlightKind Kind,
    [property: Key(2)] string Subject,
    [property: Key(3)] int Peer);

/// <summary>What a flight recorder notes.</summary>
public enum FlightKind
{
    /// <summary>An action began.</summary>
    Began = 0,

    /// <summary>An action ended.</summary>
    Ended = 1,

    /// <summary>An input, or an order of the coordinator, came.</summary>
    Arrived = 2,

    /// <summary>Something was sent to another rank.</summary>
    Sent = 3,

    /// <summary>A wait began.</summary>
    Waits = 4,

    /// <summary>What was waited for is there.</summary>
    Has = 5,
}
