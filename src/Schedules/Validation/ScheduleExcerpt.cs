using System.Collections.Immutable;
using System.Text;

namespace Pipeline.Schedules;

/// <summary>The part of a schedule's table around one place, for error messages.</summary>
internal static class ScheduleExcerpt
{
    private const int RanksAround = 1;
    private const int ActionsAround = 4;

    /// <summary>
    /// The place's rank and its neighbours, a few actions each, with <c>[ ]</c> around the place (empty where the rank's
    /// list has ended).
    /// </summary>
    public static string Around(Schedule schedule, int rank, int position)
    {
        var text = new StringBuilder();
        var first = Math.Max(0, position - ActionsAround);
        var width = schedule.Actions.Max(row => row.IsEmpty ? 0 : row.Max(action => action.ToString().Length)) + 2;
        for (var row = Math.Max(0, rank - RanksAround); row <= Math.Min(schedule.RankCount - 1, rank + RanksAround); row++)
        {
            text.Append($"  rank {row,-4}").Append(first > 0 ? "… " : "  ");
            AppendRow(text, schedule.Actions[row], first, position + ActionsAround, row == rank ? position : -1, width);
        }

        return text.ToString();
    }

    private static void AppendRow(StringBuilder text, ImmutableArray<StageAction> row, int first, int last, int marked, int width)
    {
        var line = new StringBuilder();
        for (var index = first; index <= last && (index < row.Length || index == marked); index++)
        {
            var cell = index < row.Length ? row[index].ToString() : "";
            line.Append((index == marked ? $"[{cell}]" : $" {cell} ").PadRight(width));
        }

        text.Append(line.Append(last < row.Length - 1 ? "…" : "").ToString().TrimEnd()).Append('\n');
    }
}
