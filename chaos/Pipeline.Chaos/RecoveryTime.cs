using System.Globalization;
using System.Text.Json;
using Pipeline.Coordinator;
using Pipeline.Runs;

namespace Pipeline.Chaos;

/// <summary>What was done to a run, and when.</summary>
/// <param name="Fault">The fault.</param>
/// <param name="At">When it began.</param>
/// <param name="Ranks">The ranks whose state was lost with it.</param>
internal sealed record Strike(Fault Fault, DateTimeOffset At, IReadOnlyList<int> Ranks);

/// <summary>
/// How long the recovery from one strike took, in seconds: from the harness's clock and the run's events, which are of one machine. Where a recovery was
/// itself overtaken by another one, the parts are the later one's and the total holds all.
/// </summary>
/// <param name="Fault">What was done.</param>
/// <param name="Detection">From the strike until the run said that it recovers.</param>
/// <param name="Placement">From the suspicion until the new assignment was sent.</param>
/// <param name="Loading">Until every rank had its state.</param>
/// <param name="Replay">Until the next step was committed.</param>
/// <param name="Total">From the strike to that step.</param>
/// <param name="Recomputed">Ranks that ran steps again although nothing had happened to them, while the run kept its replicas.</param>
/// <param name="IsResized">Whether the run went on with fewer replicas, since there was no room for all: then all of them begin together from a state that is to be had, under other numbers.</param>
internal sealed record RecoveryTime(Fault Fault, double Detection, double Placement, double Loading, double Replay, double Total, int Recomputed, bool IsResized)
{
    /// <summary>How long a run may be without a new step after its leader was lost.</summary>
    private const double TakeOverLimitSeconds = 15;

    private static readonly (string Name, Func<RecoveryTime, double> Of)[] s_parts =
    [
        ("detection", time => time.Detection), ("placement", time => time.Placement), ("loading", time => time.Loading), ("replay", time => time.Replay), ("total", time => time.Total),
    ];

    /// <summary>Reads a run's events. What the run did not say is missing, not guessed.</summary>
    internal static IEnumerable<RecoveryTime> Read(RunFiles files, IReadOnlyList<Strike> strikes)
    {
        Event[] events = [.. Unplanned(Marked(File.ReadLines(files.Events).Select(Event.Parse).OfType<Event>()))];
        foreach (var (index, strike) in strikes.Index())
        {
            var end = index + 1 < strikes.Count ? strikes[index + 1].At : DateTimeOffset.MaxValue;
            var own = events.Where(told => told.At >= strike.At && told.At < end).ToArray();
            if (own.FirstOrDefault(told => told.Parts is null) is not { } first || own.FirstOrDefault(told => told.Parts is not null) is not { Parts: { } parts } last) continue;
            var recomputed = own.Where(told => told is { Parts: null, IsResize: false }).SelectMany(told => told.Ranks).Distinct().Except(strike.Ranks).Count();
            yield return new RecoveryTime(
                strike.Fault, (first.At - strike.At).TotalSeconds, parts.Placement, parts.Loading, parts.Replay, (last.At - strike.At).TotalSeconds, recomputed, own.Any(told => told.IsResize));
        }
    }

    /// <summary>Recoveries of which the run says right after that it goes on with another number of replicas are marked as such.</summary>
    private static IEnumerable<Event> Marked(IEnumerable<Event> events)
    {
        Event? before = null;
        foreach (var told in events)
        {
            if (told.IsResize)
            {
                if (before is { Parts: null }) before = before with { IsResize = true };
                continue;
            }

            if (before is not null) yield return before;
            before = told;
        }

        if (before is not null) yield return before;
    }

    /// <summary>Without ranks that change places on purpose, and what the run says of them.</summary>
    private static IEnumerable<Event> Unplanned(IEnumerable<Event> events)
    {
        var isPlanned = false;
        foreach (var told in events)
        {
            var isEndOfPlanned = isPlanned && told.Parts is not null;
            isPlanned = told.Parts is null ? told.IsPlanned : isPlanned && !isEndOfPlanned;
            if (!isPlanned && !isEndOfPlanned) yield return told;
        }
    }

    /// <summary>Prints the quantiles of each part for each kind of fault.</summary>
    internal static void Report(IReadOnlyList<RecoveryTime> times, TextWriter output)
    {
        foreach (var kind in times.GroupBy(time => time.Fault).OrderBy(kind => kind.Key))
        {
            var resized = kind.Count(time => time.IsResized);
            output.WriteLine($"{kind.Key}: {kind.Count()} recoveries, seconds; ranks that ran again although nothing had happened to them: {kind.Sum(time => time.Recomputed)}"
                + (resized == 0 ? "" : $", beside {resized} recoveries that left no room for all replicas, where those that are left begin together"));
            foreach (var (name, of) in s_parts)
            {
                double[] sorted = [.. kind.Select(of).Order()];
                output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {name,-10} p50 {Quantile(sorted, 0.5):F3}  p99 {Quantile(sorted, 0.99):F3}  max {sorted[^1]:F3}"));
            }
        }
    }

    /// <summary>Whether steps went on soon enough after each loss of the leader; says which did not.</summary>
    internal static bool AreWithinLimits(IReadOnlyList<RecoveryTime> times, TextWriter output)
    {
        var late = times.Where(time => time.Fault is Fault.KillCoordinator or Fault.KillBoth && time.Total > TakeOverLimitSeconds).ToArray();
        foreach (var time in late) output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"TOO LATE: {time.Fault} took {time.Total:F1} s until a step was recorded, at most {TakeOverLimitSeconds} s are allowed"));
        return late.Length == 0;
    }

    /// <summary>The smallest value that at least the share of all does not exceed.</summary>
    internal static double Quantile(double[] sorted, double share) => sorted[Math.Max(0, (int)Math.Ceiling(share * sorted.Length) - 1)];

    /// <summary>A line that tells of a recovery's begin (with the ranks that run again), of its end (with its parts), or of another number of replicas.</summary>
    private sealed record Event(DateTimeOffset At, IReadOnlyList<int> Ranks, (double Placement, double Loading, double Replay)? Parts, bool IsPlanned = false, bool IsResize = false)
    {
        internal static Event? Parse(string line)
        {
            using var json = JsonDocument.Parse(line);
            var root = json.RootElement;
            var at = root.GetProperty("time").GetDateTimeOffset();
            return root.GetProperty("event").GetString() switch
            {
                "recovering" => new Event(at, [.. RanksOf(root.GetProperty("ranks").GetString()!)], null, root.GetProperty("message").GetString()!.StartsWith(LeaderRelief.Reason, StringComparison.Ordinal)),
                "recovered" => new Event(at, [], (root.GetProperty("placement").GetDouble(), root.GetProperty("loading").GetDouble(), root.GetProperty("replay").GetDouble())),
                "replicas-changed" => new Event(at, [], null, IsResize: true),
                _ => null,
            };
        }

        // "0 on akka.tcp://…, 2 on …"
        private static IEnumerable<int> RanksOf(string places) => places.Split(", ", StringSplitOptions.RemoveEmptyEntries).Select(place => int.Parse(place.Split(' ')[0], CultureInfo.InvariantCulture));
    }
}
