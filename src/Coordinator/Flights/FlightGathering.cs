using Akka.Actor;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>The answers to one question to all ranks' flight recorders. Used by the coordinator's handlers only.</summary>
/// <param name="reason">Why it was asked.</param>
/// <param name="step">The last committed step.</param>
/// <param name="generation">Assignment.</param>
/// <param name="rankCount">Answers to be had.</param>
/// <param name="asker">Who is told; null where the run's observer is.</param>
internal sealed class FlightGathering(string reason, long step, Generation generation, int rankCount, IActorRef? asker)
{
    private readonly SortedDictionary<int, RankFlight> _flights = [];

    /// <summary>Who is told; null where the run's observer is.</summary>
    internal IActorRef? Asker => asker;

    /// <summary>Whether all ranks have answered.</summary>
    internal bool IsComplete => _flights.Count >= rankCount;

    /// <summary>What has come so far.</summary>
    internal FlightDump Dump => new(reason, step, generation.Number, rankCount, [.. _flights.Values]);

    internal void Enter(RankFlight flight)
    {
        if ((uint)flight.Rank < (uint)rankCount) _flights[flight.Rank] = flight;
    }
}

/// <summary>Ranks that have not answered by now will not.</summary>
internal sealed record FlightPatienceTick(long Request) : INoSerializationVerificationNeeded;
