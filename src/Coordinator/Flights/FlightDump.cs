using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>What the flight recorders of all ranks held at one time, and why somebody asked.</summary>
/// <param name="Reason">A stall, a loss, a failure, an operator's wish: a sentence.</param>
/// <param name="Step">The last committed step.</param>
/// <param name="Generation">Present assignment.</param>
/// <param name="RankCount">Ranks of the run.</param>
/// <param name="Ranks">Those that answered, by rank.</param>
public sealed record FlightDump(string Reason, long Step, int Generation, int RankCount, IReadOnlyList<RankFlight> Ranks) : Akka.Actor.INoSerializationVerificationNeeded;

/// <summary>Gather what the ranks' flight recorders hold; answered by <see cref="FlightDump"/>. Changes nothing.</summary>
public sealed record DumpFlights(string Reason) : Akka.Actor.INoSerializationVerificationNeeded;
