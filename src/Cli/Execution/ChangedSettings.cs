using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Training;

namespace Pipeline.Cli.Execution;

/// <summary>What an operator has changed of a run, for whoever resumes or recomputes it.</summary>
internal static class ChangedSettings
{
    /// <summary>The plan with the changes that change its numbers; cadences and the last step are the command line's at each start.</summary>
    internal static TrainingPlan In(this TrainingPlan plan, RunFiles files, long resumeFrom)
    {
        IReadOnlyList<SettingChange> changes = [.. Read(files, resumeFrom).Where(change => resumeFrom > 0
            && change.Setting is SettingKind.LearningRate or SettingKind.Clip or SettingKind.Compression or SettingKind.GradientCompression or SettingKind.AnswerCompression)];
        var lines = resumeFrom > 0 && File.Exists(files.Metrics) ? MetricsReader.Read(files.Metrics).Where(line => line.Step <= resumeFrom).ToArray() : [];
        return plan with { Changes = changes, Optimizer = plan.Optimizer.Changed(changes), SkippedInRow = SkippedInRow(lines) };
    }

    /// <summary>Steps at the end of what is recorded that were passed over.</summary>
    internal static int SkippedInRow(IReadOnlyList<MetricsLine> lines) => lines.OfType<StepMetrics>().Reverse().TakeWhile(step => double.IsNaN(step.Loss)).Count();

    /// <summary>The optimizer of a run that is recomputed, with all its changes.</summary>
    internal static OptimizerSettings OptimizerOf(OptimizerSettings settings, RunFiles files) => settings.Changed([.. Read(files)]);

    /// <summary>Whether an operator has had what replicas exchange compressed in any step.</summary>
    internal static bool HasCompressed(RunFiles files) => Read(files).Any(change => change is { Setting: SettingKind.GradientCompression or SettingKind.AnswerCompression, Value: > 0 });

    private static IEnumerable<SettingChange> Read(RunFiles files, long throughStep = long.MaxValue - 1)
    {
        foreach (var line in SettingsLedger.Read(files.Changes, throughStep))
        {
            if (SettingChange.Parse(line.Setting) is not { } setting) continue;
            // Runs of before operators could set compression have the trial's own decision under this name, as a number.
            if (setting is SettingKind.GradientCompression && line.Word is null) setting = SettingKind.Compression;
            var value = line.Word is { } word ? SettingChange.ValueOf(setting, word) : line.Value;
            if (value is { } known) yield return new SettingChange(line.FromStep, setting, known);
        }
    }

    private static OptimizerSettings Changed(this OptimizerSettings settings, IReadOnlyList<SettingChange> changes) => settings with
    {
        Changes = [.. changes.Where(change => change.Setting is SettingKind.LearningRate or SettingKind.Clip).OrderBy(change => change.FromStep).Select(change =>
            new OptimizerChange(change.FromStep, change.Setting == SettingKind.LearningRate ? change.Value : null, change.Setting == SettingKind.Clip ? change.Value : null))],
    };
}
