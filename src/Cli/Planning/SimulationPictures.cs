using System.Globalization;
using Pipeline.Runs;
using Pipeline.Schedules;
using Timeline = Pipeline.Runs.Timeline;

namespace Pipeline.Cli.Planning;

/// <summary>A simulated step as picture and trace: action by action where that can be looked at, else as a density map and a window.</summary>
internal static class SimulationPictures
{
    /// <summary>More actions than these are drawn as a density map, and traced in a window only.</summary>
    public const int MaxDrawnActionCount = 100_000;

    private const int MaxBandCount = 256;
    private const int SliceCount = 480;

    /// <summary>The SVG.</summary>
    public static string Draw(string title, SimulatedStep step) => step.ActionCount <= MaxDrawnActionCount
        ? TimelinePlot.Draw(Window(title, step, 0, step.Duration))
        : DensityPlot.Draw(Grid(title, step));

    /// <summary>The window that is traced where nobody chooses one: all, or from the middle on as much as can be looked at.</summary>
    public static (double From, double To) DefaultWindow(SimulatedStep step)
    {
        if (step.ActionCount <= MaxDrawnActionCount) return (0, step.Duration);
        var length = step.Duration * MaxDrawnActionCount / step.ActionCount;
        return ((step.Duration - length) / 2, (step.Duration + length) / 2);
    }

    /// <summary>The actions that overlap a window.</summary>
    public static Timeline Window(string title, SimulatedStep step, double from, double to) => new(
        title,
        [.. step.Ranks.Select(rank => new TimelineLane(
            string.Create(CultureInfo.InvariantCulture, $"rank {rank.Rank}"), step.Duration > 0 ? 1 - (rank.Busy / step.Duration) : 0))],
        [.. Enumerable.Range(0, step.Schedule.RankCount).SelectMany(rank => step.Spans(rank, from, to)).Where(span => span.Duration > 0).Select(Drawn)]);

    private static TimelineSpan Drawn(ActionSpan span) => new(
        span.Rank, span.Action.ToString(), Word(span.Action.Kind), span.Action.Kind.IsStepLevel() ? null : span.Action.MicroBatch, span.Start, span.End);

    private static string Word(ActionKind kind) => kind.IsStepLevel() ? kind.Term() : kind.Letter().ToString();

    private static DensityGrid Grid(string title, SimulatedStep step)
    {
        var map = DensityMap.Of(step, MaxBandCount, SliceCount);
        return new DensityGrid(
            title,
            [.. Enumerable.Range(0, map.BandCount).Select(band => Label(band * map.RanksPerBand, Math.Min((band + 1) * map.RanksPerBand, step.Schedule.RankCount) - 1))],
            map.SliceCount, map.Duration, [.. DensityMap.Groups.Select(Word)], map.Share);
    }

    private static string Label(int first, int last) =>
        first == last ? string.Create(CultureInfo.InvariantCulture, $"rank {first}") : string.Create(CultureInfo.InvariantCulture, $"{first}–{last}");
}
