using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Reduction.Compression;

namespace Pipeline.Stages;

/// <summary>
/// What of an assignment may change while its thread computes: written by the rank's actor, read by the thread. A change names the step
/// from which it holds, and no such step is granted before the rank has it: whoever computes a step, and when, reads the same.
/// </summary>
/// <param name="layout">The layout at first.</param>
internal sealed class LiveSettings(PipelineLayout layout)
{
    private readonly ProtectionDuties _protection = layout.Protection;
    private volatile StepCadence _cadence = layout.Cadence;

    /// <summary>Which points of the run the rank meets by itself.</summary>
    internal StepCadence Cadence => _cadence;

    /// <summary>A newer generation of the same assignment.</summary>
    internal void Replace(PipelineLayout newer) => _cadence = newer.Cadence;

    /// <summary>The optimizer's settings of a step.</summary>
    internal OptimizerSettings Optimizer(OptimizerSettings settings, long step)
    {
        if (_cadence.Changes is not { Count: > 0 } changes) return settings;
        return settings with
        {
            LearningRate = SettingChange.Latest(changes, SettingKind.LearningRate, step) ?? settings.LearningRate,
            Clip = SettingChange.Latest(changes, SettingKind.Clip, step) ?? settings.Clip,
        };
    }

    /// <summary>Whether and where the state after a step is copied.</summary>
    internal ProtectionDuties Protection(long step) => _protection.At(step, _cadence.Changes);

    /// <summary>What replicas contribute, or what goes back to them, as an operator has it compressed from some step on; null where nobody has.</summary>
    internal CompressionKind? CompressionOf(SettingKind direction, long step) => (CompressionKind?)(int?)SettingChange.Latest(_cadence.Changes, direction, step);

    /// <summary>Whether a step is compressed, as far as that was decided while the run was under way.</summary>
    internal bool Compresses(long step) => SettingChange.Latest(_cadence.Changes, SettingKind.Compression, step) is not 0;

    /// <summary>Whether the actions of a step are recorded.</summary>
    internal bool WantsSpans(RecordingDuties duties, long step) =>
        SettingChange.Latest(_cadence.Changes, SettingKind.Trace, step) is { } wanted ? wanted > 0 : duties.WantsSpans(step);
}
