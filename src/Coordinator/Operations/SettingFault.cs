using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>Whether a setting may have a value while the run is under way. Pure.</summary>
internal static class SettingFault
{
    private const double HighestLearningRate = 10;
    private const double HighestClip = 1e6;
    private const double MostSteps = 1e12;

    /// <summary>Why it may not, as a sentence; null if it may.</summary>
    internal static string? Of(ChangeSetting change, RunProgress progress) => change.Setting switch
    {
        SettingKind.LearningRate when !(change.Value is > 0 and <= HighestLearningRate) => $"Expected a learning rate above 0 and at most {HighestLearningRate}, found {change.Value:R}.",
        SettingKind.Clip when !(change.Value is >= 0 and <= HighestClip) => $"Expected a norm from 0 (no clipping) to {HighestClip}, found {change.Value:R}.",
        SettingKind.Steps when !IsWhole(change.Value) || change.Value <= progress.Granted => $"Expected a whole number above {progress.Granted}, the last step that is granted, found {change.Value:R}.",
        SettingKind.EvaluateEvery or SettingKind.SaveEvery when !IsWhole(change.Value) => $"Expected a whole number of steps, 0 for none, found {change.Value:R}.",
        SettingKind.SaveEvery when !progress.Saves => "The run keeps no checkpoints. Start it with checkpoints.",
        _ => null,
    };

    private static bool IsWhole(double value) => value is >= 0 and <= MostSteps && Math.Floor(value) == value;
}
