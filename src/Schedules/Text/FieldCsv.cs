using System.Collections.Immutable;
using System.Globalization;

namespace Pipeline.Schedules;

/// <summary>
/// Reads the CSV tables that the field uses (torch.distributed.pipelining writes them): one row per rank, one cell per action,
/// an empty cell for an idle slot, no header. Kinds F, B, I and W; SEND_F, RECV_F, SEND_B and RECV_B are checked by
/// <see cref="FieldCommunication"/> and then dropped, since our stages wait for inputs, not for transfers;
/// <c>(1F1;2B0)OVERLAP_F_B</c> is read as its two actions. Ranks, stages and micro-batches follow from the table.
/// </summary>
public static class FieldCsv
{
    private const string Overlap = "OVERLAP_F_B";
    private static readonly string[] s_refused = ["UNSHARD", "RESHARD", "REDUCE_GRAD"];

    /// <summary>Reads a table as a training schedule.</summary>
    /// <param name="text">The file's content.</param>
    /// <param name="name">The schedule's name; characters that a name cannot have become hyphens.</param>
    /// <exception cref="ScheduleException">A cell is no action, is refused by name, or a transfer has no counterpart.</exception>
    public static Schedule Parse(string text, string name)
    {
        var lines = text.ReplaceLineEndings("\n").TrimEnd('\n').Split('\n');
        var rows = lines.Select((line, rank) => ReadRow(line, rank).ToImmutableArray()).ToImmutableArray();
        var computed = rows.Select(row => row.Where(cell => cell.Transfer is null).Select(cell => cell.Action).ToImmutableArray()).ToImmutableArray();
        var rankOfStage = RanksOfStages(computed);
        FieldCommunication.Check(rows, rankOfStage);
        var microBatchCount = computed.SelectMany(row => row).Max(action => action.MicroBatch) + 1;
        return new Schedule(NameFrom(name), ScheduleMode.Train, microBatchCount, rankOfStage, computed);
    }

    private static string NameFrom(string name) =>
        "csv-" + string.Concat(name.Select(character => char.IsWhiteSpace(character) || character is '=' or '#' ? '-' : character));

    private static IEnumerable<FieldCell> ReadRow(string line, int rank)
    {
        var column = 0;
        foreach (var cell in line.Split(',', StringSplitOptions.TrimEntries))
        {
            column++;
            var read = Parts(cell).Select(part => TryRead(part, out var action) ? action with { Column = column } : throw Unreadable(part, rank, column)).ToArray();
            if (IsOverlap(cell) && !IsForwardAndBackward(read)) throw Unreadable(cell, rank, column);
            foreach (var part in read) yield return part;
        }
    }

    private static string[] Parts(string cell)
    {
        if (cell.Length == 0)
            return [];
        return IsOverlap(cell) ? cell[1..^(Overlap.Length + 1)].Split(';', StringSplitOptions.TrimEntries) : [cell];
    }

    private static bool IsOverlap(string cell) => cell.StartsWith('(') && cell.EndsWith(")" + Overlap, StringComparison.Ordinal);

    private static bool IsForwardAndBackward(FieldCell[] parts) => parts.Length == 2 && parts.All(part => part.Transfer is null)
        && parts.Count(part => part.Action.Kind is ActionKind.Forward) == 1 && parts.Count(part => part.Action.Kind.MakesInputGradient()) == 1;

    private static bool TryRead(string text, out FieldCell cell)
    {
        cell = default;
        var kindAt = text.AsSpan().IndexOfAnyExceptInRange('0', '9');
        var microBatchAt = text.AsSpan().LastIndexOfAnyExceptInRange('0', '9') + 1;
        if (kindAt <= 0 || microBatchAt >= text.Length
            || !int.TryParse(text.AsSpan(0, kindAt), NumberStyles.None, CultureInfo.InvariantCulture, out var stage)
            || !int.TryParse(text.AsSpan(microBatchAt), NumberStyles.None, CultureInfo.InvariantCulture, out var microBatch))
            return false;
        var kind = text[kindAt..microBatchAt];
        if (kind is "F" or "B" or "I" or "W" && ActionKinds.TryFromLetter(kind[0], out var known))
            cell = new FieldCell(new StageAction(stage, known, microBatch), Transfer: null, Column: 0);
        else if (kind is "SEND_F" or "RECV_F" or "SEND_B" or "RECV_B")
            cell = new FieldCell(new StageAction(stage, kind[^1] == 'F' ? ActionKind.Forward : ActionKind.InputGradient, microBatch), kind, Column: 0);
        else
            return false;
        return true;
    }

    private static ScheduleException Unreadable(string text, int rank, int column)
    {
        var place = string.Create(CultureInfo.InvariantCulture, $"Row {rank + 1}, cell {column}");
        return Array.Find(s_refused, word => text.Contains(word, StringComparison.Ordinal)) is { } refused
            ? new ScheduleException($"{place}: {text} is refused, since {refused} says when sharded parameters and gradients travel, which is no part of a schedule here. Take the table without it.")
            : new ScheduleException($"{place}: '{text}' is not an action: expected a stage, a kind (F, B, I, W, SEND_F, RECV_F, SEND_B, RECV_B) and a micro-batch, as in 2F0, or (1F1;2B0){Overlap}.");
    }

    private static ImmutableArray<int> RanksOfStages(ImmutableArray<ImmutableArray<StageAction>> rows)
    {
        if (rows.All(row => row.IsEmpty))
            throw new ScheduleException("The table has no action: expected one row per rank, with cells such as 2F0.");
        var ranks = new int[rows.SelectMany(row => row).Max(action => action.Stage) + 1];
        Array.Fill(ranks, -1);
        for (var rank = 0; rank < rows.Length; rank++)
            foreach (var action in rows[rank])
            {
                if (ranks[action.Stage] >= 0 && ranks[action.Stage] != rank)
                    throw new ScheduleException($"Stage {action.Stage} has actions in rows {ranks[action.Stage] + 1} and {rank + 1} ({action}): expected each stage on one rank.");
                ranks[action.Stage] = rank;
            }

        return Array.IndexOf(ranks, -1) is var missing and >= 0
            ? throw new ScheduleException($"Stage {missing} has no action, but stage {ranks.Length - 1} has: expected all stages from 0 on.")
            : [.. ranks];
    }
}

/// <summary>
/// One cell of a table: an action, or a transfer (<c>SEND_F</c> and the like) that carries what an action made or needs.
/// </summary>
internal readonly record struct FieldCell(StageAction Action, string? Transfer, int Column);
