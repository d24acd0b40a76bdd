using System.Text.Json.Nodes;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;

namespace Pipeline.Operator;

/// <summary>Whether the run goes on, and what is saved of it.</summary>
internal static class FlowCommands
{
    private static readonly TimeSpan SavePatience = TimeSpan.FromSeconds(25);

    internal static IReadOnlyList<OperatorCommand> All { get; } =
    [
        new("pause", "", "No further step is begun; those under way are finished. Nothing is lost and no bit changes.")
        {
            Examples = [("pause", "before looking at something in peace")],
            IsChange = true,
            Run = request => request.Run.OperateAsync(new PauseRun(), request.Cancellation),
        },
        new("resume", "", "Goes on after a pause.")
        {
            Examples = [("resume", "the losses are those of a run that was never paused")],
            IsChange = true,
            Run = request => request.Run.OperateAsync(new ResumeRun(), request.Cancellation),
        },
        new("stop", "[--now]", "Ends the run after the step under way, saving first; it can be resumed.")
        {
            Detail = "With --now it ends at once, and what was computed since the newest checkpoint is lost.",
            Flags = [("--now", "without saving")],
            Examples = [("stop --yes", "from a script"), ("stop --now", "asks first")],
            IsChange = true,
            Warning = request => request.Has("--now")
                ? "This ends the run at once, without saving: steps since the newest checkpoint are lost. `pipeline train --resume` goes on from it."
                : "This ends the run after the step under way, saving first. `pipeline train --resume` goes on from there.",
            Run = StopAsync,
        },
        new("checkpoint", "now|ls|keep [STEP]", "Saves the state after the step under way, lists what is saved, or has one kept for good.")
        {
            Detail = "A kept checkpoint outlives checkpoint.keep; `keep` without a step means the newest.",
            Examples = [("checkpoint now", "answers once it is on disk"), ("checkpoint ls", "what there is to resume from"), ("checkpoint keep 400", "is never removed")],
            ArgumentCount = (1, 2),
            Completions = [Completion.CheckpointWord],
            IsChange = true,
            QueryWords = ["ls"],
            Run = CheckpointAsync,
        },
    ];

    private static Task<CommandAnswer> StopAsync(CommandRequest request)
    {
        if (request.Has("--now")) return request.Run.OperateAsync(new StopRunNow(), request.Cancellation);
        request.Run.Stop();
        return Task.FromResult(new CommandAnswer(true, "The run stops after the step under way, saving first."));
    }

    private static Task<CommandAnswer> CheckpointAsync(CommandRequest request) => request[0] switch
    {
        "now" => request.Run.OperateAsync(new SaveNow(), request.Cancellation, SavePatience),
        "ls" => Task.FromResult(List(request)),
        "keep" => Task.FromResult(Keep(request)),
        _ => throw new OperatorException("Expected: checkpoint now, checkpoint ls, or checkpoint keep STEP."),
    };

    private static CommandAnswer Keep(CommandRequest request)
    {
        FolderCheckpointStore store = new(request.Run.Files.Checkpoints);
        var step = request[1] is not null ? request.Number(1, "step")
            : store.List().FirstOrDefault(one => one.State == CheckpointState.Complete)?.Step ?? throw new OperatorException("There is no checkpoint yet. `checkpoint now` makes one.");
        store.Keep(step);
        return new CommandAnswer(true, $"The checkpoint of step {step} is kept, however many follow it.");
    }

    private static CommandAnswer List(CommandRequest request)
    {
        var all = new FolderCheckpointStore(request.Run.Files.Checkpoints).List();
        return new CommandAnswer(
            true,
            all.Count == 0 ? "No checkpoint is in the run's directory." : TextTable.Of(["step", "state", "size", "problem"], all.Select(one => (IReadOnlyList<string>)
                [$"{one.Step}", one.State.ToString().ToLowerInvariant(), $"{one.ByteCount >> 20} MiB", one.Problem ?? ""])),
            new JsonArray([.. all.Select(one => (JsonNode)new JsonObject { ["step"] = one.Step, ["state"] = one.State.ToString().ToLowerInvariant(), ["bytes"] = one.ByteCount, ["problem"] = one.Problem })]));
    }
}
