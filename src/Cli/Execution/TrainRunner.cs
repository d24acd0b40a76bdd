using Pipeline.Checkpoints;
using Pipeline.Cli.Commands;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Machine;
using Pipeline.Cli.Planning;
using Pipeline.Coordinator;
using Pipeline.Model.Numerics;
using Pipeline.Runs;
using Pipeline.Training;

namespace Pipeline.Cli.Execution;

/// <summary>Carries out a <c>train</c>: settles what is open, prints the arithmetic, trains, and leaves plots and a sample.</summary>
internal sealed class TrainRunner(CommandContext context)
{
    /// <summary>Runs to the end, to a signal, or to a failure.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync(TrainRequest request, CancellationToken cancellation)
    {
        TorchRuntime.Initialize();
        var bound = RunSettingsBinder.Settle(request.Bound, () => IsBf16Fast(request.Bound.Settings));
        var chosen = AutomaticPlan.For(bound, keepsMicroBatches: request.Options.ResumeDirectory is not null);
        bound = chosen?.Bound ?? bound;
        using var signals = new StopSignals();
        using var materials = RunMaterials.Prepare(bound.Settings, context, signals.Token);
        var text = ConfigurationPrinter.Hocon(bound.Configuration);
        // Before a directory is made: what cannot be laid out is refused and leaves nothing.
        var draft = Planned(materials.Plan(null, text, 0));
        var layout = RunLayout.For(draft);
        var prediction = new RunPrediction(layout, ProfileStore.FindOrEstimate(bound.Settings), bound.Settings.Step.MicroBatchSize);
        if (request.Options.IsDryRun)
        {
            PrintArithmetic(materials, draft, layout, prediction);
            foreach (var sentence in chosen?.Explanation ?? []) context.Output.WriteLine($"plan     {sentence}");
            return ExitCode.Done;
        }

        using var directory = Open(request.Options, bound.Settings);
        var store = new FolderCheckpointStore(directory.Files.Checkpoints);
        var resumeFrom = request.Options.ResumeDirectory is null ? 0 : ResumeStep(store, materials);
        if (resumeFrom >= bound.Settings.Run.StepCount)
            throw new UsageException($"The run stands at step {resumeFrom} and run.steps is {bound.Settings.Run.StepCount}: there is nothing to do. Give a larger --steps.");
        var plan = Planned(materials.Plan(store, text, resumeFrom));
        PrintArithmetic(materials, plan, layout, prediction);
        foreach (var sentence in chosen?.Explanation ?? []) context.Output.WriteLine($"plan     {sentence}");
        AtomicFile.WriteText(directory.Files.Configuration, text);
        context.Output.WriteLine($"run      {directory.Folder}{(resumeFrom > 0 ? $", from step {resumeFrom}" : "")}");
        return await TrainAsync(request.Options, materials, plan, request.Options.IsReference ? null : prediction, directory, signals.Token).ConfigureAwait(false);

        TrainingPlan Planned(TrainingPlan settled) => chosen?.Apply(settled) ?? settled;
    }

    private async Task<int> TrainAsync(
        TrainOptions options, RunMaterials materials, TrainingPlan plan, RunPrediction? prediction, RunDirectory directory, CancellationToken stop)
    {
        var (traced, times) = (new TracedSteps(), new StepTimes());
        RunOutcome outcome;
        using (var recorder = Recorder(materials, plan, directory.Files))
        {
            var settings = materials.Settings;
            var progress = new ProgressPrinter(
                context.Output, context.IsTerminal, context.Time, plan.Steps, settings.Run.ProgressEvery, materials.Data.BitsPerByte);
            var observer = new ObserverChain(recorder, traced, times, progress);
            outcome = options.IsReference
                ? ReferenceRun.Train(plan, observer, stop)
                : await PipelineRun.TrainAsync(plan, observer, stop).ConfigureAwait(false);
        }

        var artifacts = new RunArtifacts(context, materials, directory.Files);
        artifacts.Plot(traced, prediction);
        if (outcome.End == RunEnd.Failed)
        {
            await context.Error.WriteLineAsync(outcome.Error).ConfigureAwait(false);
            return outcome.IsPreparationFailure ? ExitCode.Refused : ExitCode.Failed;
        }

        if (outcome.End == RunEnd.Stopped)
        {
            context.Output.WriteLine($"stopped after step {outcome.Step}; go on with: pipeline train --resume {directory.Folder}");
            return ExitCode.Interrupted;
        }

        artifacts.Sample();
        artifacts.Summarize();
        foreach (var line in prediction?.Lines(times, traced) ?? []) context.Output.WriteLine(line);
        return ExitCode.Done;
    }

    private RunDirectory Open(TrainOptions options, RunSettings settings) => options.ResumeDirectory is { } resumed
        ? RunDirectory.OpenForResume(resumed)
        : settings.Run.Directory is { } named ? RunDirectory.Create(named) : RunDirectory.CreateNumbered("runs", settings.Preset, context.Time);

    private long ResumeStep(FolderCheckpointStore store, RunMaterials materials)
    {
        var selection = store.OpenLatest();
        foreach (var skipped in selection.Skipped) context.Error.WriteLine(skipped.Sentence);
        using var reader = selection.Require();
        materials.RequireMatch(reader);
        return reader.Step;
    }

    private RunRecorder Recorder(RunMaterials materials, TrainingPlan plan, RunFiles files)
    {
        var from = plan.ResumeFromStep;
        var resumes = from > 0;
        return new RunRecorder(
            resumes ? MetricsWriter.Resume(files.Metrics, from) : MetricsWriter.Create(files.Metrics),
            resumes ? DigestFile.Resume(files.Digests, from) : DigestFile.Create(files.Digests),
            EventLog.Open(files.Events, context.Time),
            new TensorBoardWriter(files.Folder, context.Time, resumes ? from : null),
            materials.Data.BitsPerByte);
    }

    private void PrintArithmetic(RunMaterials materials, TrainingPlan plan, RunLayout layout, RunPrediction prediction)
    {
        foreach (var line in RunArithmetic.Lines(materials, plan, layout, prediction)) context.Output.WriteLine(line);
    }

    private bool IsBf16Fast(RunSettings settings) =>
        PrecisionProbe.Measure(settings.Data.CacheFolder).IsBf16Fast;
}
