using Pipeline.Checkpoints;
using Pipeline.Data;
using Pipeline.Protocol;
using Pipeline.Schedules;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Stages;

/// <summary>Turns what stopped a stage into one message for the coordinator: pure.</summary>
internal static class StageFailure
{
    internal static StageFailed WhilePreparing(AssignStage assignment, Exception fault) => new(
        assignment.Generation, assignment.Rank, -1, assignment.Start.Step, "preparation",
        IsForUser(fault) ? fault.Message : $"Rank {assignment.Rank} could not be set up: {FirstLine(fault)}",
        StageFailureKind.Preparation, fault.ToString());

    internal static StageFailed CopyMissing(AssignStage assignment, CopyId copy)
    {
        var message = $"Rank {assignment.Rank} was to start from the copy of rank {copy.Rank} after step {copy.Step}, which its holder does not have.";
        return new StageFailed(assignment.Generation, assignment.Rank, -1, assignment.Start.Step, "preparation", message, StageFailureKind.CopyMissing, message);
    }

    internal static StageFailed InAction(AssignStage assignment, long step, StageAction? action, Exception fault)
    {
        var what = action is { } named ? $"stage {named.Stage}, step {step}, action {named}" : $"after step {step}";
        return new StageFailed(
            assignment.Generation, assignment.Rank, action?.Stage ?? -1, step, action?.ToString() ?? "between steps",
            $"Rank {assignment.Rank}, {what}: {FirstLine(fault)}", StageFailureKind.Action, fault.ToString());
    }

    /// <summary>The sentence of an exception; native errors carry some twenty lines of stack below it.</summary>
    internal static string FirstLine(Exception fault)
    {
        var message = fault is AggregateException { InnerException: { } inner } ? inner.Message : fault.Message;
        var end = message.AsSpan().IndexOfAny('\r', '\n');
        return end < 0 ? message : message[..end];
    }

    private static bool IsForUser(Exception fault) => fault is CheckpointException or DataException or ScheduleException or ArgumentException;
}
