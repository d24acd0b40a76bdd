using Pipeline.Protocol;
using Pipeline.Reduction.Compression;

namespace Pipeline.Coordinator;

/// <summary>Whether a setting may have a value while the run is under way. Pure.</summary>
internal static class SettingFault
{
    private const double HighestLearningRate = 10;
    private const double HighestClip = 1e6;
    private const double MostSteps = 1e12;
    private const double MostStepsBetweenCopies = 1e6;

    /// <summary>Why it may not, as a sentence; null if it may.</summary>
    internal static string? Of(ChangeSetting change, ChangeScope scope) => change.Setting switch
    {
        SettingKind.LearningRate when !(change.Value is > 0 and <= HighestLearningRate) => $"Expected a learning rate above 0 and at most {HighestLearningRate}, found {change.Value:R}.",
        SettingKind.Clip when !(change.Value is >= 0 and <= HighestClip) => $"Expected a norm from 0 (no clipping) to {HighestClip}, found {change.Value:R}.",
        SettingKind.Steps when !IsWhole(change.Value) => $"Expected a whole number, found {change.Value:R}.",
        SettingKind.Steps => OfBoundary(change, scope.Progress.Committed),
        SettingKind.EvaluateEvery or SettingKind.SaveEvery when !IsWhole(change.Value) => $"Expected a whole number of steps, 0 for none, found {change.Value:R}.",
        SettingKind.SaveEvery when !scope.Progress.Saves => "The run keeps no checkpoints. Start it with checkpoints.",
        SettingKind.ProtectionKind or SettingKind.GradientCompression or SettingKind.AnswerCompression when !IsWord(change) =>
            $"Expected one of {string.Join(", ", SettingChange.WordsOf(change.Setting))}, found {change.Value:R}.",
        SettingKind.ProtectionEvery when !IsWhole(change.Value) || change.Value is < 1 or > MostStepsBetweenCopies => $"Expected a whole number of steps from 1 to {MostStepsBetweenCopies:0}, found {change.Value:R}.",
        SettingKind.ProtectionEvery when scope.Protection.Kind == ProtectionKind.None => "It would be ignored: no copies are taken. Set protection to memory or disk first.",
        SettingKind.ProtectionKind => scope.FaultOf((ProtectionKind)(int)change.Value),
        SettingKind.GradientCompression or SettingKind.AnswerCompression => scope.FaultOf(change.Setting, (CompressionKind)(int)change.Value),
        _ => null,
    };

    /// <summary>Why it may not have the value from the end of a step on, as a sentence; null if it may.</summary>
    internal static string? OfBoundary(ChangeSetting change, long step) => change.Setting == SettingKind.Steps && change.Value <= step
        ? $"Expected a whole number above {step}, the last step that is done or under way, found {change.Value:R}."
        : null;

    private static bool IsWord(ChangeSetting change) => new SettingChange(0, change.Setting, change.Value).AsWord() is not null && IsWhole(change.Value);

    private static bool IsWhole(double value) => value is >= 0 and <= MostSteps && Math.Floor(value) == value;
}
