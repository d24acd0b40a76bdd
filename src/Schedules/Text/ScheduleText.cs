using System.Collections.Immutable;
using System.Globalization;
using System.Text;

namespace Pipeline.Schedules;

/// <summary>
/// The text form of a schedule. A header, then one line per rank with its actions separated by commas:
/// <code>
/// # schedule name=1f1b mode=train micro-batches=2 ranks-of-stages=0,1 tied=0,1
/// 0F0,0F1,0B0,0B1,0T,0N,0O
/// 1F0,1B0,1F1,1B1,1T,1N,1O
/// </code>
/// <c>tied</c> is present exactly where the schedule ends its step, and may be empty. Formatting and parsing are inverse.
/// When read, spaces around actions, empty cells (idle slots of hand-written tables) and further lines that begin with #
/// are dropped.
/// </summary>
public static class ScheduleText
{
    private const string HeaderStart = "# schedule ";

    /// <summary>The text form, each line ended by a line feed.</summary>
    public static string Format(Schedule schedule)
    {
        var text = new StringBuilder(HeaderStart);
        text.Append(CultureInfo.InvariantCulture, $"name={schedule.Name} mode={ModeWord(schedule.Mode)} ");
        text.Append(CultureInfo.InvariantCulture, $"micro-batches={schedule.MicroBatchCount} ");
        text.Append("ranks-of-stages=").AppendJoin(',', schedule.RankOfStage);
        if (schedule.EndsStep)
            text.Append(" tied=").AppendJoin(',', schedule.TiedStages);
        text.Append('\n');
        foreach (var row in schedule.Actions)
            text.AppendJoin(',', row).Append('\n');
        return text.ToString();
    }

    /// <summary>Reads the text form.</summary>
    /// <exception cref="ScheduleException">The header or an action cannot be read, with the line.</exception>
    public static Schedule Parse(string text)
    {
        var lines = text.ReplaceLineEndings("\n").Split('\n');
        if (!lines[0].StartsWith(HeaderStart, StringComparison.Ordinal))
            throw new ScheduleException($"The first line of a schedule must begin with '{HeaderStart.Trim()}', found '{Shorten(lines[0])}'.");
        var header = ReadHeader(lines[0]);
        var rows = ReadRows(lines, header.RankOfStage.Max() + 1L);
        var schedule = new Schedule(header.Name, header.Mode, header.MicroBatchCount, header.RankOfStage, rows);
        return header.TiedStages is { } tied ? schedule.DeclareStepEnd(tied) : schedule;
    }

    private static ImmutableArray<ImmutableArray<StageAction>> ReadRows(string[] lines, long rankCount)
    {
        var rows = ImmutableArray.CreateBuilder<ImmutableArray<StageAction>>();
        for (var index = 1; index < lines.Length; index++)
        {
            var isEndOfText = index == lines.Length - 1 && lines[index].Length == 0;
            if (isEndOfText || lines[index].StartsWith('#'))
                continue;
            rows.Add(ReadRow(lines[index], index + 1));
        }

        return rows.Count == rankCount
            ? rows.ToImmutable()
            : throw new ScheduleException($"The header places stages on {rankCount} ranks, but {rows.Count} lines of actions follow: expected one per rank.");
    }

    private static ImmutableArray<StageAction> ReadRow(string line, int lineNumber)
    {
        var row = ImmutableArray.CreateBuilder<StageAction>();
        foreach (var cell in line.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            try
            {
                row.Add(StageAction.Parse(cell));
            }
            catch (ScheduleException exception)
            {
                throw new ScheduleException($"Line {lineNumber}: {exception.Message}", exception);
            }
        }

        return row.ToImmutable();
    }

    private static Header ReadHeader(string line)
    {
        var fields = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var word in line[HeaderStart.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = word.IndexOf('=', StringComparison.Ordinal);
            var key = equals < 0 ? word : word[..equals];
            if (equals < 0 || key is not ("name" or "mode" or "micro-batches" or "ranks-of-stages" or "tied") || !fields.TryAdd(key, word[(equals + 1)..]))
                throw new ScheduleException($"The schedule's header has '{word}': expected name, mode, micro-batches, ranks-of-stages and tied, each once as key=value.");
        }

        var ranks = Numbers(fields, "ranks-of-stages");
        if (ranks.IsEmpty)
            throw new ScheduleException("The schedule's header says ranks-of-stages= without a rank: expected one rank per stage.");
        return new Header(
            Field(fields, "name"),
            ReadMode(Field(fields, "mode")),
            Number("micro-batches", Field(fields, "micro-batches")),
            ranks,
            fields.ContainsKey("tied") ? Numbers(fields, "tied") : null);
    }

    private static string Field(Dictionary<string, string> fields, string key) =>
        fields.TryGetValue(key, out var value) ? value : throw new ScheduleException($"The schedule's header lacks {key}=.");

    private static ImmutableArray<int> Numbers(Dictionary<string, string> fields, string key) =>
        Field(fields, key) is { Length: > 0 } list ? [.. list.Split(',').Select(item => Number(key, item))] : [];

    private static int Number(string key, string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw new ScheduleException($"The schedule's header says {key}={text}: expected whole numbers from 0.");

    private static ScheduleMode ReadMode(string word) => word switch
    {
        "train" => ScheduleMode.Train,
        "evaluate" => ScheduleMode.Evaluate,
        _ => throw new ScheduleException($"The schedule's header says mode={word}: expected train or evaluate."),
    };

    private static string ModeWord(ScheduleMode mode) => mode is ScheduleMode.Train ? "train" : "evaluate";

    private static string Shorten(string line) => line.Length <= 40 ? line : line[..40] + "…";

    private sealed record Header(
        string Name,
        ScheduleMode Mode,
        int MicroBatchCount,
        ImmutableArray<int> RankOfStage,
        ImmutableArray<int>? TiedStages);
}
