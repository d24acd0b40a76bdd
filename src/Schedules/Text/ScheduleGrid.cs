using System.Globalization;
using System.Text;

namespace Pipeline.Schedules;

/// <summary>
/// Draws a timeline as text of fixed width, one line per rank and one column per unit of time: <c>F3</c> where the forward of
/// micro-batch 3 begins, <c>--</c> while it goes on, a dot where the rank is idle. With several stages per rank the stage
/// stands in front (<c>2F3</c>). Actions without duration are not drawn. The last line gives the step's duration and the
/// bubble share.
/// </summary>
public static class ScheduleGrid
{
    /// <summary>The largest number by which the shortest action is divided to find a column that fits all durations.</summary>
    private const int MaxColumnDivisor = 5;

    /// <param name="timeline">Predicted or measured.</param>
    /// <param name="columnDuration">
    /// The time that a column stands for. By default the longest that divides all durations, at least a fifth of the
    /// shortest; where none does, the shortest duration, and edges are rounded to columns.
    /// </param>
    /// <param name="maxColumnCount">Columns beyond it are cut off, with an ellipsis.</param>
    public static string Render(Timeline timeline, double? columnDuration = null, int maxColumnCount = int.MaxValue)
    {
        var column = columnDuration ?? FittingColumn(timeline);
        var columnCount = (int)Math.Min(maxColumnCount, Math.Ceiling((timeline.Duration / column) - 1e-6));
        var isCut = columnCount * column < timeline.Duration * (1 - 1e-6);
        var labelWidth = timeline.Spans.Max(span => Label(timeline, span.Action).Length);
        var rankWidth = (timeline.Schedule.RankCount - 1).ToString(CultureInfo.InvariantCulture).Length;
        var text = new StringBuilder();
        text.Append(Title(timeline.Schedule)).Append('\n');
        for (var rank = 0; rank < timeline.Schedule.RankCount; rank++)
        {
            text.Append("rank ").Append(rank.ToString(CultureInfo.InvariantCulture).PadLeft(rankWidth)).Append(' ');
            foreach (var cell in Cells(timeline, rank, column, columnCount, labelWidth))
                text.Append(' ').Append(cell);
            text.Append(isCut ? " …\n" : "\n");
        }

        return text.Append(Summary(timeline)).Append('\n').ToString();
    }

    private static string Title(Schedule schedule)
    {
        var stages = schedule.StageCount == schedule.RankCount ? "" : $", {Counted(schedule.StageCount, "stage")}";
        return $"{schedule.Name}: {Counted(schedule.RankCount, "rank")}{stages}, {Counted(schedule.MicroBatchCount, "micro-batch")}";
    }

    private static string Counted(int count, string word)
    {
        var plural = word.EndsWith('h') ? "es" : "s";
        return string.Create(CultureInfo.InvariantCulture, $"{count} {word}{(count == 1 ? "" : plural)}");
    }

    private static string Summary(Timeline timeline)
    {
        var idle = timeline.Usage.Sum(usage => usage.Wait + usage.Bubble);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"step {timeline.Duration:0.###}, bubble {timeline.BubbleShare * 100:0.0} % (idle {idle:0.###} of {timeline.Schedule.RankCount} × {timeline.Duration:0.###})");
    }

    private static string[] Cells(Timeline timeline, int rank, double column, int columnCount, int width)
    {
        var cells = new string[columnCount];
        Array.Fill(cells, ".".PadLeft(width));
        foreach (var span in timeline.Rows[rank])
        {
            var first = ColumnOf(span.Start);
            var end = Math.Max(first + 1, ColumnOf(span.End));
            for (var index = first; index < Math.Min(end, columnCount) && span.Duration > 0; index++)
                cells[index] = index == first ? Label(timeline, span.Action).PadRight(width) : new string('-', width);
        }

        return cells;

        int ColumnOf(double time) => (int)Math.Min(columnCount, Math.Round((time - timeline.Start) / column, MidpointRounding.AwayFromZero));
    }

    private static string Label(Timeline timeline, StageAction action)
    {
        var text = action.ToString();
        var hasOneStagePerRank = timeline.Schedule.StageCount == timeline.Schedule.RankCount;
        return hasOneStagePerRank ? text[text.AsSpan().IndexOfAnyExceptInRange('0', '9')..] : text;
    }

    private static double FittingColumn(Timeline timeline)
    {
        var durations = timeline.Spans.Select(span => span.Duration).Where(duration => duration > 0).ToArray();
        if (durations.Length == 0)
            return 1;
        var shortest = durations.Min();
        for (var divisor = 1; divisor <= MaxColumnDivisor; divisor++)
        {
            var column = shortest / divisor;
            if (durations.All(duration => Math.Abs((duration / column) - Math.Round(duration / column)) < 1e-6))
                return column;
        }

        return shortest;
    }
}
