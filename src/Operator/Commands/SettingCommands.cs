using System.Globalization;
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
        new("set", "NAME VALUE", "Gives a setting another value from the next step on that is not granted yet.")
        {
            Detail = "lr (the peak; warm-up and decay keep their shape), clip, steps (where the run ends), eval-every, checkpoint-every. lr and clip hold after a resume too, and `verify` knows of them; the others are the command line's at each start.",
            Examples = [("set lr 3e-4 --yes", "half the learning rate"), ("set steps 2000 --yes", "train longer")],
            ArgumentCount = (2, 2),
            Completions = [Completion.Setting],
            IsChange = true,
            Warning = request => $"This sets {SafeText.Of(request[0])} to {SafeText.Of(request[1])} from the next boundary on.",
            Run = SetAsync,
        },
        new("evaluate", "", "Evaluates the held-out text after the next step that is not granted yet.")
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

    private static Task<CommandAnswer> SetAsync(CommandRequest request)
    {
        if (SettingChange.Parse(request[0]) is not { } setting)
            throw new OperatorException($"'{SafeText.Of(request[0])}' cannot be changed of a run under way. Expected one of {string.Join(", ", SettingChange.SettingNames)}.");
        return double.TryParse(request[1], NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && double.IsFinite(value)
            ? request.Run.OperateAsync(new ChangeSetting(setting, value), request.Cancellation, BoundaryPatience)
            : throw new OperatorException($"'{SafeText.Of(request[1])}' is no number.");
    }
}
