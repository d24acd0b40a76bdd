using System.Text.Json.Nodes;
using Pipeline.Checkpoints;
using Pipeline.Protocol.Security;

namespace Pipeline.Operator;

/// <summary>What the run's saved state is worth: whether it is intact, and what it writes. Neither touches the ranks.</summary>
internal static class StateCommands
{
    private static readonly TimeSpan GeneratePatience = TimeSpan.FromSeconds(25);

    internal static IReadOnlyList<OperatorCommand> All { get; } =
    [
        new("verify", "", "Reads every byte of the run's checkpoints and compares the hashes.")
        {
            Detail = "`pipeline verify RUN` goes further: it recomputes steps in one thread and compares every bit; it takes a processor of its own for as long.",
            Examples = [("verify", "can the run be resumed?")],
            Run = request => Task.Run(() => Verify(request), request.Cancellation),
        },
        new("generate", "TEXT", "Continues a text with the weights of the newest checkpoint.")
        {
            Detail = "A process of its own does it, beside the run: ranks are neither stopped nor slowed by a pass of their own, and no bit of the training can change. `checkpoint now` before it takes the weights of this moment.",
            Examples = [("generate \"Gets or sets\"", "what has it learnt?")],
            ArgumentCount = (1, 1),
            IsChange = true,
            Run = GenerateAsync,
        },
    ];

    private static CommandAnswer Verify(CommandRequest request)
    {
        var all = new FolderCheckpointStore(request.Run.Files.Checkpoints).List(verify: true);
        if (all.Count == 0) return new CommandAnswer(true, "There is no checkpoint yet. `checkpoint now` makes one.", new JsonArray());
        var damaged = all.Where(one => one.State == CheckpointState.Damaged).ToArray();
        var whole = all.Where(one => one.State == CheckpointState.Complete).Select(one => $"{one.Step}").ToArray();
        JsonArray json = [.. all.Select(one => (JsonNode)new JsonObject { ["step"] = one.Step, ["state"] = one.State.ToString().ToLowerInvariant(), ["problem"] = one.Problem })];
        var sound = whole.Length > 0 ? $"Intact to the last byte: the checkpoints of the steps {string.Join(", ", whole)}." : "No checkpoint is intact.";
        return new CommandAnswer(damaged.Length == 0 && whole.Length > 0, string.Join('\n', [sound, .. damaged.Select(one => SafeText.Of($"Step {one.Step}: {one.Problem}", 400))]), json);
    }

    private static async Task<CommandAnswer> GenerateAsync(CommandRequest request)
    {
        if (request.Run.Generate is not { } generate) throw new OperatorException("This program cannot generate from here. Use: pipeline generate --run DIR --prompt TEXT.");
        if (!new FolderCheckpointStore(request.Run.Files.Checkpoints).List().Any(one => one.State == CheckpointState.Complete))
            throw new OperatorException("There is no checkpoint to generate from yet. `checkpoint now` makes one.");
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(request.Cancellation);
        patience.CancelAfter(GeneratePatience);
        try
        {
            return await generate(request[0]!, patience.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            throw new OperatorException($"No text came within {GeneratePatience.TotalSeconds:0} s. Use: pipeline generate --run {request.Run.Files.Folder}.");
        }
    }
}
