using Akka.Actor;
using static Pipeline.Protocol.FlightProtocol;

namespace Pipeline.Coordinator;

/// <summary>
/// Gathers what the ranks' flight recorders hold: on a stall, a loss, a failure, and when somebody asks. It decides nothing and holds nothing
/// up; ranks that are gone are missing from it, and those that waited for them say so.
/// </summary>
public sealed partial class CoordinatorActor
{
    private static readonly TimeSpan FlightPatience = TimeSpan.FromSeconds(2);
    private readonly Dictionary<long, FlightGathering> _flights = [];
    private long _lastFlight;

    private void ReceiveFlights()
    {
        Receive<DumpFlights>(dump => GatherFlights(dump.Reason, Sender));
        Receive<FlightReported>(OnFlightReported);
        Receive<FlightPatienceTick>(tick => FinishFlight(tick.Request));
    }

    private void GatherFlights(string reason, IActorRef? asker = null)
    {
        var request = ++_lastFlight;
        _flights.Add(request, new FlightGathering(reason, _progress.Committed, _ranks.Generation, _ranks.Refs.Count, asker));
        TellAll(new ReportFlight(_ranks.Generation, request));
        if (_ranks.Refs.Count == 0) FinishFlight(request);
        else Timers.StartSingleTimer(("flight", request), new FlightPatienceTick(request), FlightPatience);
    }

    private void OnFlightReported(FlightReported report)
    {
        if (!_flights.TryGetValue(report.Request, out var gathering)) return;
        gathering.Enter(report.Flight);
        if (gathering.IsComplete) FinishFlight(report.Request);
    }

    private void FinishFlight(long request)
    {
        if (!_flights.Remove(request, out var gathering)) return;
        Timers.Cancel(("flight", request));
        if (gathering.Asker is { } asker) asker.Tell(gathering.Dump);
        else _observer.Tell(new RunNotice.FlightGathered(gathering.Dump));
    }

    /// <summary>The run ends: what has not come by now will not.</summary>
    private void FinishFlights()
    {
        foreach (var request in _flights.Keys.ToArray()) FinishFlight(request);
    }
}
