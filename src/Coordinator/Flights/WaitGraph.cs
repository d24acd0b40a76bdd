using System.Globalization;

namespace Pipeline.Coordinator;

/// <summary>Reads out of a dump who waits for whom, and whom all wait for in the end. Pure.</summary>
public static class WaitGraph
{
    /// <summary>A line for each rank, then what it comes to.</summary>
    public static IReadOnlyList<string> Describe(FlightDump dump)
    {
        var byRank = dump.Ranks.ToDictionary(flight => flight.Rank);
        List<string> lines = [];
        for (var rank = 0; rank < dump.RankCount; rank++)
        {
            lines.Add(byRank.TryGetValue(rank, out var flight)
                ? Invariant($"rank {rank}, step {flight.CompletedStep} completed, {flight.Doing}{(flight.AwaitedRank >= 0 ? $", from rank {flight.AwaitedRank}" : "")}")
                : $"rank {rank} did not answer");
        }

        var ends = byRank.Values.Where(flight => flight.AwaitedRank >= 0).Select(flight => EndOf(flight.Rank, byRank)).Distinct().Order(StringComparer.Ordinal);
        return [.. lines, .. ends];
    }

    /// <summary>Follows the waits from a rank to one that does not wait, or back to one that was met already.</summary>
    private static string EndOf(int rank, Dictionary<int, Protocol.RankFlight> byRank)
    {
        List<int> path = [];
        for (var at = rank; ; at = byRank[at].AwaitedRank)
        {
            if (path.IndexOf(at) is >= 0 and var start) return Circle(path[start..]);
            path.Add(at);
            if (!byRank.TryGetValue(at, out var flight)) return $"In the end rank {at} is waited for, which did not answer: it is gone, or cannot be reached.";
            if (flight.AwaitedRank < 0) return $"In the end rank {at} is waited for, which {flight.Doing}.";
        }
    }

    // Begun with the lowest rank, so that all ranks of one circle name it alike.
    private static string Circle(List<int> ranks)
    {
        var start = ranks.IndexOf(ranks.Min());
        IEnumerable<int> turned = [.. ranks[start..], .. ranks[..start], ranks[start]];
        return $"Ranks wait for each other in a circle: {string.Join(" -> ", turned)}.";
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
