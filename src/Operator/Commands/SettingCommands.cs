using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Protocol.Security;

namespace Pipeline.Operator;

/// <summary>What may be changed of a run under way. A change names the step from which it holds, is recorded, and holds for every rank alike.</summary>
internal static class SettingCommands
{
    private static readonly TimeSpan BoundaryPatience = TimeSpan.FromSeconds(25);

    internal static IReadOnlyList<OperatorCommand> All { get; } =
    [
        new("set", "NAME VALUE", "Gives a setting another value from the step after the one under way on.")
        {
            Detail = """
                lr (the peak; warm-up and decay keep their shape), clip, steps (where the run ends), eval-every, checkpoint-every.
                protection none|memory|disk and protection-every: where copies of the ranks' states go, and after how many steps; no loss depends on them. On disk means protection.folder, or the folder copies of the run's directory.
                compression and compression-answer none|bf16|int8|int4|top-k|power-sgd|one-bit: what replicas contribute, and the sums or weights that go back; what is lost goes with later steps, and losses differ from there on. rounding, share and rank stay as they were when the run began; one-bit needs moments frozen from the beginning.
                lr, clip and both compressions hold after a resume too; the others are the command line's at each start. `verify` knows of lr and clip.
                """,
            Examples = [("set lr 3e-4 --yes", "half the learning rate"), ("set steps 2000 --yes", "train longer"), ("set protection-every 16 --yes", "fewer copies, longer replays"), ("set compression int8 --yes", "a quarter of the bytes between replicas")],
            ArgumentCount = (2, 2),
            Completions = [Completion.Setting, Completion.SettingValue],
            IsChange = true,
            Warning = WarningOf,
            Run = SetAsync,
        },
        new("evaluate", "", "Evaluates the held-out text after the step that follows the one under way.")
        {
            Examples = [("evaluate", "`loss` shows the result")],
            IsChange = true,
            Run = request => request.Run.OperateAsync(new ChangeSetting(SettingKind.EvaluateOnce, 0), request.Cancellation, BoundaryPatience),
        },
        new("trace", "start|stop", "Has every action recorded, or no longer; `timeline` and the web page show the newest steps.")
        {
            Examples = [("trace start", "then `timeline`"), ("trace stop", "back to what is free of cost")],
            ArgumentCount = (1, 1),
            Completions = [Completion.TraceWord],
            IsChange = true,
            Run = request => request[0] is "start" or "stop"
                ? request.Run.OperateAsync(new ChangeSetting(SettingKind.Trace, request[0] == "start" ? 1 : 0), request.Cancellation, BoundaryPatience)
                : throw new OperatorException("Expected: trace start, or trace stop."),
        },
    ];

    private static string WarningOf(CommandRequest request)
    {
        var sentence = $"This sets {SafeText.Of(request[0])} to {SafeText.Of(request[1])} from the next boundary on.";
        return SettingChange.ParseChangeable(request[0]) switch
        {
            SettingKind.ProtectionKind when request[1] == "none" => sentence + " Until it is set again, a lost rank takes all of them back to the newest checkpoint.",
            SettingKind.GradientCompression or SettingKind.AnswerCompression when request[1] == "none" => sentence + " What was lost so far is made good with the next step.",
            SettingKind.GradientCompression or SettingKind.AnswerCompression => sentence + " What replicas exchange loses something then, and losses are no longer those of the run without it.",
            _ => sentence,
        };
    }

    private static Task<CommandAnswer> SetAsync(CommandRequest request)
    {
        if (SettingChange.ParseChangeable(request[0]) is not { } setting)
            throw new OperatorException($"'{SafeText.Of(request[0])}' cannot be changed of a run under way. Expected one of {string.Join(", ", SettingChange.SettingNames)}.");
        if (SettingChange.ValueOf(setting, request[1]) is { } value) return request.Run.OperateAsync(new ChangeSetting(setting, value), request.Cancellation, BoundaryPatience);
        throw new OperatorException(SettingChange.WordsOf(setting) is { Count: > 0 } words
            ? $"'{SafeText.Of(request[1])}' is nothing that {request[0]} can be. Expected one of {string.Join(", ", words)}."
            : $"'{SafeText.Of(request[1])}' is no number.");
    }
}
