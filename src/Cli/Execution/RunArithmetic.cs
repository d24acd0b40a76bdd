using System.Globalization;
using Pipeline.Model;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Pipeline.Training;

namespace Pipeline.Cli.Execution;

/// <summary>What a run will amount to, from its plan alone: printed before the first step.</summary>
internal static class RunArithmetic
{
    private const double MiB = 1 << 20;

    /// <summary>The lines, each beginning with what it is about.</summary>
    /// <param name="materials">Settings and data.</param>
    /// <param name="plan">The run.</param>
    /// <param name="layout">How it is spread.</param>
    /// <param name="prediction">What its step is expected to take.</param>
    /// <param name="isReference">Whether the unsplit trainer runs instead, which has no stages.</param>
    public static IEnumerable<string> Lines(RunMaterials materials, TrainingPlan plan, RunLayout layout, RunPrediction prediction, bool isReference = false)
    {
        var (settings, data) = (materials.Settings, materials.Data);
        var (model, step) = (settings.Model, settings.Step);
        var parameterCount = DecoderTransformer.ParameterCount(plan.Units);
        long tokensPerStep = (long)step.SampleCount * model.Context;
        yield return Line("model", $"{settings.Preset}: {model.Layers} layers × {model.Width} × {model.Heads} heads, context {model.Context}, "
            + $"vocabulary {model.Vocabulary:N0}, {(model.Tied ? "tied" : "untied")}; {parameterCount:N0} parameters");
        yield return Line("data", $"{data.CorpusDescription}: {data.Training.TokenCount:N0} tokens to train on, "
            + $"{data.Validation.TokenCount:N0} held out, {data.ValidationBytesPerToken:F2} bytes per token");
        var epochs = (double)plan.Steps * step.SampleCount / new Data.SampleIndex(data.Training.TokenCount, model.Context).SamplesPerEpoch;
        yield return Line("step", $"{step.MicroBatchCount} micro-batches × {step.MicroBatchSize} samples × {model.Context} tokens = {tokensPerStep:N0} tokens; "
            + $"{plan.Steps:N0} steps = {tokensPerStep * plan.Steps:N0} tokens, {epochs:F2} epochs");
        if (isReference)
        {
            yield return Line("stages", $"none: the unsplit model, {plan.Units.Count} units in one thread, {settings.Arithmetic().ToString().ToLowerInvariant()}");
            yield break;
        }

        yield return Line("stages", $"{Ranks(layout)} ranks, {layout.Schedule.Name}, {settings.Arithmetic().ToString().ToLowerInvariant()} on {settings.Device}, "
            + $"{plan.ThreadsPerStage} thread{(plan.ThreadsPerStage == 1 ? "" : "s")} each");
        foreach (var line in Stages(plan, layout)) yield return line;
        yield return Memory(materials, plan, layout);
        var checkpointBytes = 12.0 * parameterCount;
        yield return Line("disk", $"about {checkpointBytes / MiB:N0} MiB a checkpoint, {settings.Checkpoint.KeepCount} kept: {checkpointBytes * settings.Checkpoint.KeepCount / MiB:N0} MiB");
        yield return Line("bubble", $"{prediction.BubbleShare:P1} predicted{(layout.Mesh.IsEven ? "" : " for replica 0")}{Seconds(prediction)}; "
            + $"{EqualStagesBubble(layout):P1} with equal stages and parts");
    }

    private static string Ranks(RunLayout layout) => layout.ReplicaCount == 1 ? $"{layout.RankCount}"
        : layout.Mesh.IsEven ? $"{layout.ReplicaCount} replicas × {layout.Schedule.RankCount}"
        : $"{layout.ReplicaCount} replicas of {string.Join(" + ", layout.Replicas.Select(replica => replica.RankCount))}";

    private static string Seconds(RunPrediction prediction) => !prediction.IsInSeconds ? ""
        : prediction.MayRunAhead ? string.Create(CultureInfo.InvariantCulture, $", {prediction.Duration * 1e3:F1} ms a step ({prediction.Step.Duration * 1e3:F1} if it waits for its norm)")
        : string.Create(CultureInfo.InvariantCulture, $", {prediction.Duration * 1e3:F1} ms a step");

    private static IEnumerable<string> Stages(TrainingPlan plan, RunLayout layout)
    {
        if (layout.Mesh.IsEven) return Stages(plan, layout.Replicas[0], "stage");
        return layout.Replicas.Index().SelectMany(replica => Stages(plan, replica.Item, $"replica {replica.Index}, stage"));
    }

    private static IEnumerable<string> Stages(TrainingPlan plan, ReplicaStages replica, string word)
    {
        var total = plan.Units.Sum(unit => unit.Cost);
        for (var stage = 0; stage < replica.StageCount; stage++)
        {
            var units = replica.UnitsOf(stage).Select(unit => plan.Units[unit]).ToArray();
            var parameters = units.SelectMany(unit => unit.Parameters).Sum(spec => spec.ElementCount);
            var names = units.Length > 2 ? $"{units[0].Name} … {units[^1].Name}" : string.Join(", ", units.Select(unit => unit.Name));
            yield return Line("", $"{word} {stage}: {names} ({units.Length} units, {parameters:N0} parameters, {units.Sum(unit => unit.Cost) / total:P1} of the work{Recomputed(plan, replica, stage)})");
        }
    }

    // A schedule that recomputes where the plan names nothing to drop makes all of it again.
    private static string Recomputed(TrainingPlan plan, ReplicaStages replica, int stage)
    {
        if (!replica.Schedule.Actions[replica.Schedule.RankOfStage[stage]].Any(action => action.Kind is ActionKind.Recompute && action.Stage == stage)) return "";
        var kinds = replica.UnitsOf(stage).GroupBy(unit => plan.Recompute?[unit] ?? Recomputation.Full).OrderByDescending(same => same.Key).ToArray();
        return "; recomputes " + (kinds.Length == 1 ? "" : "of its units ") + string.Join(", ", kinds.Select(same => (kinds.Length == 1 ? "" : same.Count() + " ") + same.Key.ToString().ToLowerInvariant()));
    }

    private static string Memory(RunMaterials materials, TrainingPlan plan, RunLayout layout)
    {
        var memory = MemoryEstimate.Of(plan, layout, materials.TokensPerMicroBatch, materials.Settings.Cluster.ProcessCount > 1);
        var exchange = memory.ExchangeBytes.Sum() is > 0 and var bytes ? Format($", {bytes / MiB:N0} MiB to add gradients up") : "";
        return Line("memory", $"about {memory.StateBytes.Sum() / MiB:N0} MiB of weights, gradients and moments, {memory.ActivationBytes.Sum() / MiB:N0} MiB of activations at the peak{exchange}");

        static string Format(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
    }

    private static double EqualStagesBubble(RunLayout layout) =>
        ScheduleTiming.Predict(layout.Schedule, ActionCosts.Uniform(layout.Schedule.StageCount)).BubbleShare;

    private static string Line(string subject, FormattableString text) => $"{subject,-8} {text.ToString(CultureInfo.InvariantCulture)}";

    private static string Line(string subject, string text) => $"{subject,-8} {text}";
}
