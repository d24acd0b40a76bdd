using System.Collections.Immutable;
using System.Globalization;

namespace Pipeline.Schedules;

/// <summary>
/// Checks the transfers of a table that has any: every output that another rank needs is sent exactly once, after the action
/// that makes it, and received exactly once, before the action that needs it; nothing else is sent or received. A fault names the row
/// and the cell: of a transfer that is missing those of the action that needs it.
/// </summary>
internal static class FieldCommunication
{
    public static void Check(ImmutableArray<ImmutableArray<FieldCell>> rows, ImmutableArray<int> rankOfStage)
    {
        if (!rows.Any(row => row.Any(cell => cell.Transfer is not null)))
            return;
        var places = new Dictionary<(string What, int Stage, int MicroBatch), FieldPlace>();
        for (var rank = 0; rank < rows.Length; rank++)
            for (var position = 0; position < rows[rank].Length; position++)
                Record(places, rows[rank][position], new FieldPlace(rank, position, rows[rank][position].Column), rankOfStage);
        foreach (var ((what, stage, microBatch), place) in places)
            if (what.Length > 1)
                CheckPlace(places, what, stage, microBatch, place);
            else if (what is "F" or "G")
                RequireTransfers(places, what, stage, microBatch, place, rankOfStage);
    }

    // What is needed under one key: F, G for whatever makes an input gradient, and the transfers.
    private static void Record(Dictionary<(string, int, int), FieldPlace> places, FieldCell cell, FieldPlace place, ImmutableArray<int> rankOfStage)
    {
        var what = cell.Transfer ?? (cell.Action.Kind is ActionKind.Forward ? "F" : cell.Action.Kind.MakesInputGradient() ? "G" : "W");
        var (stage, microBatch) = (cell.Action.Stage, cell.Action.MicroBatch);
        if (stage >= rankOfStage.Length || rankOfStage[stage] != place.Rank)
            throw Fault(place, what, stage, microBatch, $"stands in row {place.Rank + 1}, which does not hold stage {stage}");
        if (Partner(what, stage) is { } partner && (partner < 0 || partner >= rankOfStage.Length || rankOfStage[partner] == place.Rank))
            throw Fault(place, what, stage, microBatch, $"has no counterpart: stage {partner} is on no other rank");
        if (!places.TryAdd((what, stage, microBatch), place) && what != "W")
            throw Fault(place, what, stage, microBatch, $"stands there twice, first in cell {places[(what, stage, microBatch)].Column}");
    }

    private static void CheckPlace(Dictionary<(string, int, int), FieldPlace> places, string what, int stage, int microBatch, FieldPlace place)
    {
        var action = what[^1] == 'F' ? "F" : "G";
        if (!places.TryGetValue((action, stage, microBatch), out var computed))
            throw Fault(place, what, stage, microBatch, "belongs to no action of its stage");
        var sends = what.StartsWith("SEND", StringComparison.Ordinal);
        if (sends ? place.Position < computed.Position : place.Position > computed.Position)
            throw Fault(place, what, stage, microBatch, $"comes {(sends ? "before the action that makes what it sends" : "after the action that needs it")}, in cell {computed.Column}");
    }

    private static void RequireTransfers(
        Dictionary<(string, int, int), FieldPlace> places, string what, int stage, int microBatch, FieldPlace place, ImmutableArray<int> rankOfStage)
    {
        var (receiver, letter) = what == "F" ? (stage + 1, "F") : (stage - 1, "B");
        if (receiver < 0 || receiver >= rankOfStage.Length || rankOfStage[receiver] == rankOfStage[stage])
            return;
        if (!places.ContainsKey(($"SEND_{letter}", stage, microBatch)))
            throw Fault(place, $"SEND_{letter}", stage, microBatch, $"is missing behind it, but stage {receiver} is on another rank");
        if (!places.ContainsKey(($"RECV_{letter}", receiver, microBatch)))
            throw Fault(places.GetValueOrDefault((what, receiver, microBatch), place), $"RECV_{letter}", receiver, microBatch, $"is missing, but stage {stage} is on another rank");
    }

    private static int? Partner(string what, int stage) => what switch
    {
        "SEND_F" or "RECV_B" => stage + 1,
        "RECV_F" or "SEND_B" => stage - 1,
        _ => null,
    };

    // G is a letter of this check alone: what makes an input gradient is written B or I.
    private static ScheduleException Fault(FieldPlace place, string what, int stage, int microBatch, string fault) => new(string.Create(
        CultureInfo.InvariantCulture,
        $"Row {place.Rank + 1}, cell {place.Column}: {stage}{(what == "G" ? "B" : what)}{microBatch} {fault}. Correct the table, or take it without transfers."));

    /// <summary>Where a cell stands: its row, its place among the row's actions and transfers, its column in the table, from 1.</summary>
    private readonly record struct FieldPlace(int Rank, int Position, int Column);
}
