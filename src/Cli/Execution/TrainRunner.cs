using Pipeline.Checkpoints;
using Pipeline.Cli.Commands;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Machine;
using Pipeline.Coordinator;
using Pipeline.Model.Numerics;
using Pipeline.Nodes;
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
        using var signals = new StopSignals();
        using var materials = RunMaterials.Prepare(bound.Settings, context, signals.Token);
        var text = ConfigurationPrinter.Hocon(bound.Configuration);
        // Before a directory is made: what cannot be laid out is refused and leaves nothing.
        var draft = materials.Plan(null, text, 0);
        var layout = RunLayout.For(draft);
        if (request.Options.IsDryRun)
        {
            PrintArithmetic(materials, draft, layout);
            return ExitCode.Done;
        }

        using var directory = Open(request.Options, bound.Settings);
        var store = new FolderCheckpointStore(directory.Files.Checkpoints);
        var resumeFrom = request.Options.ResumeDirectory is null ? 0 : ResumeStep(store, materials);
        if (resumeFrom >= bound.Settings.Run.StepCount)
            throw new UsageException($"The run stands at step {resumeFrom} and run.steps is {bound.Settings.Run.StepCount}: there is nothing to do. Give a larger --steps.");
        var plan = materials.Plan(store, text, resumeFrom);
        PrintArithmetic(materials, plan, layout);
        AtomicFile.WriteText(directory.Files.Configuration, text);
        context.Output.WriteLine($"run      {directory.Folder}{(resumeFrom > 0 ? $", from step {resumeFrom}" : "")}");
        var progress = new ProgressPrinter(
            context.Output, context.IsTerminal, context.Time, plan.Steps, bound.Settings.Run.ProgressEvery, materials.Data.BitsPerByte);
        var artifacts = new RunArtifacts(context, materials, directory.Files);
        var outcome = bound.Settings.Cluster.ProcessCount > 1 && !request.Options.IsReference
            ? await TrainInProcessesAsync(bound, directory.Files, resumeFrom, progress, signals.Token).ConfigureAwait(false)
            : await TrainHereAsync(request.Options, materials, plan, directory.Files, progress, artifacts, signals.Token).ConfigureAwait(false);
        return await ConcludeAsync(outcome, directory, artifacts, signals).ConfigureAwait(false);
    }

    private async Task<RunOutcome> TrainHereAsync(
        TrainOptions options, RunMaterials materials, TrainingPlan plan, RunFiles files, ProgressPrinter progress, RunArtifacts artifacts, CancellationToken stop)
    {
        var traced = new TracedSteps();
        RunOutcome outcome;
        var control = OwnProcessControl.Open(files, options.IsReference ? 1 : plan.StageCount, plan.ResumeFromStep, context.Time, stop);
        await using (control.ConfigureAwait(false))
        {
            using var recorder = RunRecording.Open(materials, plan.ResumeFromStep, files, context.Time);
            var observer = new ObserverChain(recorder, traced, progress, control);
            outcome = options.IsReference
                ? ReferenceRun.Train(plan, observer, control.Stop)
                : await PipelineRun.TrainAsync(plan, observer, control.Stop).ConfigureAwait(false);
        }

        artifacts.Plot(traced);
        return outcome;
    }

    private Task<RunOutcome> TrainInProcessesAsync(BoundConfiguration bound, RunFiles files, long resumeFrom, ProgressPrinter progress, CancellationToken stop)
    {
        var count = bound.Settings.Cluster.ProcessCount;
        var configuration = bound.Configuration.With(RunKeys.Directory, files.Folder, new("the run's directory"));
        var submission = new RunSubmission(ConfigurationPrinter.Hocon(configuration, withOrigins: false), files.Folder, resumeFrom, count);
        return new ProcessesTraining(context, files, progress).RunAsync(count, submission, stop);
    }

    private async Task<int> ConcludeAsync(RunOutcome outcome, RunDirectory directory, RunArtifacts artifacts, StopSignals signals)
    {
        if (outcome.End == RunEnd.Failed)
        {
            await context.Error.WriteLineAsync(outcome.Error).ConfigureAwait(false);
            return outcome.IsPreparationFailure ? ExitCode.Refused : ExitCode.Failed;
        }

        if (outcome.End == RunEnd.Stopped)
        {
            context.Output.WriteLine($"stopped after step {outcome.Step}; go on with: pipeline train --resume {directory.Folder}");
            return signals.Token.IsCancellationRequested ? ExitCode.Interrupted : ExitCode.Done;
        }

        artifacts.Sample();
        artifacts.Summarize();
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

    private void PrintArithmetic(RunMaterials materials, TrainingPlan plan, RunLayout layout)
    {
        foreach (var line in RunArithmetic.Lines(materials, plan, layout)) context.Output.WriteLine(line);
    }

    private bool IsBf16Fast(RunSettings settings) =>
        PrecisionProbe.Measure(settings.Data.CacheFolder).IsBf16Fast;
}
