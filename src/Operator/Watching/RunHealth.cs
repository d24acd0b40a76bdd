using System.Globalization;
using Pipeline.Coordinator;

namespace Pipeline.Operator;

/// <summary>
/// What is wrong with a run, at a glance: how it stands now, and what happened to it within the last minutes. It says nothing of a run that is well. Pure.
/// </summary>
internal static class RunHealth
{
    /// <summary>How long something that happened is worth a look.</summary>
    internal static readonly TimeSpan Recent = TimeSpan.FromMinutes(10);

    private const double StallSteps = 10;
    private static readonly TimeSpan LeastStall = TimeSpan.FromSeconds(30);

    private static readonly string[] s_bad =
    [
        "node-lost", "stage-failed", "save-failed", "rolled-back", "non-finite", "loss-spike", "stalled", "straggler", "throughput-fell", "disk-nearly-full", "flight-dumped",
    ];

    /// <summary>Sentences, the worst first; none of a run that is well.</summary>
    /// <param name="phase">What the run is at.</param>
    /// <param name="watch">What has been seen of it.</param>
    internal static IReadOnlyList<string> Of(string phase, RunWatch watch) => [.. Now(phase, watch), .. Lately(watch)];

    private static IEnumerable<string> Now(string phase, RunWatch watch)
    {
        if (watch.Outcome is { End: RunEnd.Failed } failed) yield return $"the run has failed: {failed.Error}";
        if (phase is "recovering") yield return "it recovers from a loss at this moment";
        var recent = watch.Recent(20);
        if (phase is not "running" || recent.Count == 0 || watch.SinceLastStep is not { } silence) yield break;
        var patience = TimeSpan.FromSeconds(Math.Max(LeastStall.TotalSeconds, StallSteps * recent.Average(step => step.Seconds)));
        if (silence > patience) yield return string.Create(CultureInfo.InvariantCulture, $"no step was committed for {silence.TotalSeconds:0} s");
    }

    // The newest of each kind: what happened ten times is one thing to look at.
    private static IEnumerable<string> Lately(RunWatch watch)
    {
        var since = watch.Time.GetUtcNow() - Recent;
        return watch.Happenings.Where(one => one.Time >= since && s_bad.Contains(one.Kind)).GroupBy(one => one.Kind).Select(kind => (Last: kind.Last(), Count: kind.Count()))
            .OrderBy(kind => Array.IndexOf(s_bad, kind.Last.Kind))
            .Select(kind => string.Create(CultureInfo.InvariantCulture, $"{kind.Last.Kind}{(kind.Count > 1 ? $" ({kind.Count} times)" : "")} at step {kind.Last.Step}: {kind.Last.Text}"));
    }
}
