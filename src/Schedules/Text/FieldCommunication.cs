using System.Collections.Immutable;
using System.Globalization;

namespace Pipeline.Schedules;

/// <summary>
/// Checks the transfers of a table that has any: every output that another rank needs is sent exactly once, after the action
/// that makes it, and received exactly once, before the action that needs it; nothing else is sent or received.
/// </summary>
internal static class FieldCommunication
{
    public static void Check(ImmutableArray<ImmutableArray<FieldCell>> rows, ImmutableArray<int> rankOfStage)
    {
        if (!rows.Any(row => row.Any(cell => cell.Transfer is not null)))
            return;
        var places = new Dictionary<(string What, int Stage, int MicroBatch), int>();
        for (var rank = 0; rank < rows.Length; rank++)
            for (var position = 0; position < rows[rank].Length; position++)
                Record(places, rows[rank][position], rank, position, rankOfStage);
        foreach (var ((what, stage, microBatch), place) in places)
            if (what.Length > 1)
                CheckPlace(places, what, stage, microBatch, place);
            else if (what is "F" or "G")
                RequireTransfers(places, what, stage, microBatch, rankOfStage);
    }

    // What is needed under one key: F, G for whatever makes an input gradient, and the transfers.
    private static void Record(
        Dictionary<(string, int, int), int> places, FieldCell cell, int rank, int position, ImmutableArray<int> rankOfStage)
    {
        var what = cell.Transfer ?? (cell.Action.Kind is ActionKind.Forward ? "F" : cell.Action.Kind.MakesInputGradient() ? "G" : "W");
        var (stage, microBatch) = (cell.Action.Stage, cell.Action.MicroBatch);
        if (stage >= rankOfStage.Length || rankOfStage[stage] != rank)
            throw Fault(what, stage, microBatch, $"stands in row {rank + 1}, which does not hold stage {stage}");
        if (Partner(what, stage) is { } partner && (partner < 0 || partner >= rankOfStage.Length || rankOfStage[partner] == rank))
            throw Fault(what, stage, microBatch, $"has no counterpart: stage {partner} is on no other rank");
        if (!places.TryAdd((what, stage, microBatch), position) && what != "W")
            throw Fault(what, stage, microBatch, "stands there twice");
    }

    private static void CheckPlace(Dictionary<(string, int, int), int> places, string what, int stage, int microBatch, int place)
    {
        var action = what[^1] == 'F' ? "F" : "G";
        if (!places.TryGetValue((action, stage, microBatch), out var computed))
            throw Fault(what, stage, microBatch, "belongs to no action of its stage");
        if (what.StartsWith("SEND", StringComparison.Ordinal) ? place < computed : place > computed)
            throw Fault(what, stage, microBatch, what.StartsWith("SEND", StringComparison.Ordinal) ? "comes before the action that makes what it sends" : "comes after the action that needs it");
    }

    private static void RequireTransfers(
        Dictionary<(string, int, int), int> places, string what, int stage, int microBatch, ImmutableArray<int> rankOfStage)
    {
        var (receiver, letter) = what == "F" ? (stage + 1, "F") : (stage - 1, "B");
        if (receiver < 0 || receiver >= rankOfStage.Length || rankOfStage[receiver] == rankOfStage[stage])
            return;
        if (!places.ContainsKey(($"SEND_{letter}", stage, microBatch)))
            throw Fault($"SEND_{letter}", stage, microBatch, $"is missing, but stage {receiver} is on another rank");
        if (!places.ContainsKey(($"RECV_{letter}", receiver, microBatch)))
            throw Fault($"RECV_{letter}", receiver, microBatch, $"is missing, but stage {stage} is on another rank");
    }

    private static int? Partner(string what, int stage) => what switch
    {
        "SEND_F" or "RECV_B" => stage + 1,
        "RECV_F" or "SEND_B" => stage - 1,
        _ => null,
    };

    private static ScheduleException Fault(string what, int stage, int microBatch, string fault) =>
        new(string.Create(CultureInfo.InvariantCulture, $"{stage}{what}{microBatch} {fault}. Correct the table, or take it without transfers."));
}
