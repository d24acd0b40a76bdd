using Pipeline.Checkpoints;
using Pipeline.Cli.Commands;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Machine;
using Pipeline.Cli.Planning;
using Pipeline.Coordinator;
using Pipeline.Dashboard;
using Pipeline.Model.Numerics;
using Pipeline.Nodes;
using Pipeline.Operator;
using Pipeline.Runs;
using Pipeline.Schedules;
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
        var nodes = request.Options.IsCluster && AutomaticPlan.IsWanted(bound) ? await ClusterNodes.AskAsync(bound.Settings.Cluster, context.Time).ConfigureAwait(false) : null;
        var chosen = AutomaticPlan.For(bound, keepsMicroBatches: request.Options.ResumeDirectory is not null, context, nodes);
        bound = chosen?.Bound ?? bound;
        using var signals = new StopSignals();
        using var materials = RunMaterials.Prepare(bound.Settings, context, signals.Token);
        var text = ConfigurationPrinter.Hocon(bound.Configuration);
        // Before a directory is made: what cannot be laid out is refused and leaves nothing.
        var draft = Planned(materials.Plan(null, text, 0));
        var layout = RunLayout.For(draft);
        var (profile, recompute) = (chosen?.Profile ?? ProfileStore.FindOrEstimate(bound.Settings), chosen?.Choice.Recompute ?? bound.Settings.Step.Recompute);
        // A dry run may be of a model for other machines.
        if (!request.Options.IsReference && (!request.Options.IsDryRun || bound.Settings.Step.RankMemory is not null))
            MemoryLimit.Require(bound.Settings, [.. layout.Replicas.Select(replica => (replica.UnitCounts, replica.Schedule))], profile, recompute, areHere: !request.Options.IsCluster);
        var prediction = RunPrediction.Of(bound.Settings, layout, profile, recompute);
        if (request.Options.IsDryRun)
        {
            PrintArithmetic(materials, draft, layout, prediction, request.Options.IsReference);
            foreach (var sentence in chosen?.Explanation ?? []) context.Output.WriteLine($"plan     {sentence}");
            return ExitCode.Done;
        }

        using var directory = Open(request.Options, bound.Settings);
        var store = CheckpointStores.Open(bound.Settings.Checkpoint, directory.Files);
        var resumeFrom = request.Options.ResumeDirectory is null ? 0 : ResumeStep(store, materials);
        if (resumeFrom >= bound.Settings.Run.StepCount)
            throw new UsageException($"The run stands at step {resumeFrom} and run.steps is {bound.Settings.Run.StepCount}: there is nothing to do. Give a larger --steps.");
        var plan = Planned(materials.Plan(store, text, resumeFrom)).In(directory.Files, resumeFrom);
        PrintArithmetic(materials, plan, layout, prediction, request.Options.IsReference);
        foreach (var sentence in chosen?.Explanation ?? []) context.Output.WriteLine($"plan     {sentence}");
        AtomicFile.WriteText(directory.Files.Configuration, text);
        context.Output.WriteLine($"run      {directory.Folder}{(resumeFrom > 0 ? $", from step {resumeFrom}" : "")}");
        var progress = new ProgressPrinter(
            context.Output, context.IsTerminal, context.Time, plan.Steps, bound.Settings.Run.ProgressEvery, materials.Data.BitsPerByte);
        var artifacts = new RunArtifacts(context, materials, directory.Files);
        var verdict = RunVerdict.Of(bound.Settings, layout, () => prediction);
        // That of an earlier start.
        File.Delete(directory.Files.Prediction);
        var isHere = request.Options.IsReference || (!request.Options.IsCluster && bound.Settings.Cluster.ProcessCount == 1);
        var outcome = isHere
            ? await TrainHereAsync(request.Options, materials, plan, verdict, directory.Files, progress, artifacts, signals.Token).ConfigureAwait(false)
            : await SubmitAsync(request.Options, chosen?.Explicit() ?? bound, chosen?.Profile, materials.Content, directory, resumeFrom, new ObserverChain(progress, verdict), signals.Token).ConfigureAwait(false);
        if (!isHere) artifacts.TakeVerdict(verdict);
        return await ConcludeAsync(outcome, directory.Files, artifacts, signals).ConfigureAwait(false);

        TrainingPlan Planned(TrainingPlan settled) => chosen?.Apply(settled) ?? settled;
    }

    private async Task<RunOutcome> TrainHereAsync(
        TrainOptions options, RunMaterials materials, TrainingPlan plan, RunVerdict verdict, RunFiles files, ProgressPrinter progress, RunArtifacts artifacts, CancellationToken stop)
    {
        RunOutcome outcome;
        // Another start of the same run has other traces.
        plan = plan with { Name = $"{files.Folder} {context.Time.GetUtcNow().Ticks}" };
        using TelemetryExport export = new($"{Environment.MachineName}-{Environment.ProcessId}");
        export.Send(materials.Settings.Telemetry.Otlp);
        var control = OwnProcessControl.Open(files, PipelineRun.IdOf(plan.Name), materials.Settings.Device, plan.ResumeFromStep, context.Time, stop);
        await using (control.ConfigureAwait(false))
        {
            await control.AttendAsync(context, materials.Settings.Telemetry).ConfigureAwait(false);
            using var recorder = RunRecording.Open(materials, plan.ResumeFromStep, files, context.Time);
            using var log = RunLog.Open(Path.Combine(files.Logs, "run.log"), materials.Settings.Telemetry.Format, Path.GetFileName(files.Folder), context.Time);
            using OneAtATime observer = new(new ObserverChain(recorder, verdict, progress, control, log));
            control.RecordInto(observer);
            outcome = options.IsReference
                ? ReferenceRun.Train(plan, observer, control.Stop)
                : await PipelineRun.TrainAsync(plan, observer, control.Led, control.Stop).ConfigureAwait(false);
            await control.QuietAsync().ConfigureAwait(false);
        }

        if (options.IsReference) artifacts.Plot(verdict.Traced);
        else artifacts.Plot(verdict);
        return outcome;
    }

    /// <summary>Has others lead the run, and follows it; null where it goes on without us.</summary>
    private async Task<RunOutcome?> SubmitAsync(
        TrainOptions options, BoundConfiguration bound, ModelProfile? planned, string content, RunDirectory directory, long resumeFrom, IRunObserver progress, CancellationToken stop)
    {
        var cluster = bound.Settings.Cluster;
        var files = directory.Files;
        // A new start: lines that will be written again go before anybody reads along, and no leader takes a former start over.
        if (resumeFrom > 0)
        {
            MetricsWriter.Resume(files.Metrics, resumeFrom).Dispose();
            RunJournal.Restart(files.Journal);
        }
        else
        {
            File.Delete(files.Journal);
        }

        ProfileStore.Share(bound.Settings, files.Profile, planned);
        var configuration = bound.Configuration.With(RunKeys.Directory, files.Folder, new("the run's directory")).With(DataKeys.Content, content, new("the corpus as it was submitted"));
        RunSubmission submission = new(
            ConfigurationPrinter.Hocon(configuration, withOrigins: false), files.Folder, resumeFrom, options.IsCluster ? 1 : cluster.ProcessCount, Guid.NewGuid().ToString("N"), IsLocked: !options.IsCluster);
        if (!options.IsCluster) return await new ProcessesTraining(context, files, progress, [.. LinkKeys.Words(bound.Configuration), $"{TelemetryKeys.Format.Path}={bound.Configuration.TextOf(TelemetryKeys.Format)}"]).RunAsync(submission, stop).ConfigureAwait(false);
        // The run outlives this process, so that its lock is for its leader.
        directory.Dispose();
        using ClusterTraining training = new(context, cluster, files, progress);
        try
        {
            return await training.RunAsync(submission, stop).ConfigureAwait(false);
        }
        catch (RunException) when (!training.IsAccepted && options.ResumeDirectory is null && !File.Exists(files.Journal))
        {
            // No run came of it: the same command may be given again.
            File.Delete(files.Configuration);
            throw;
        }
    }

    private async Task<int> ConcludeAsync(RunOutcome? outcome, RunFiles files, RunArtifacts artifacts, StopSignals signals)
    {
        if (outcome is null)
        {
            context.Output.WriteLine($"detached; the run goes on. Stop it with: pipeline ctl stop --run {files.Folder}");
            return ExitCode.Interrupted;
        }

        if (outcome.End == RunEnd.Failed)
        {
            await context.Error.WriteLineAsync(outcome.Error).ConfigureAwait(false);
            artifacts.SayVerdict();
            return outcome.IsPreparationFailure ? ExitCode.Refused : ExitCode.Failed;
        }

        if (outcome.End == RunEnd.Stopped)
        {
            context.Output.WriteLine($"stopped after step {outcome.Step}; go on with: pipeline train --resume {files.Folder}");
            artifacts.SayVerdict();
            return signals.Token.IsCancellationRequested ? ExitCode.Interrupted : ExitCode.Done;
        }

        artifacts.Sample();
        artifacts.Summarize();
        return ExitCode.Done;
    }

    private RunDirectory Open(TrainOptions options, RunSettings settings) => options.ResumeDirectory is { } resumed
        ? RunDirectory.OpenForResume(resumed)
        : settings.Run.Directory is { } named ? RunDirectory.Create(named) : RunDirectory.CreateNumbered("runs", settings.Preset, context.Time);

    private long ResumeStep(ICheckpointStore store, RunMaterials materials)
    {
        var selection = store.OpenLatest();
        foreach (var skipped in selection.Skipped) context.Error.WriteLine(skipped.Sentence);
        using var reader = selection.Require();
        materials.RequireMatch(reader);
        return reader.Step;
    }

    private void PrintArithmetic(RunMaterials materials, TrainingPlan plan, RunLayout layout, RunPrediction prediction, bool isReference)
    {
        foreach (var line in RunArithmetic.Lines(materials, plan, layout, prediction, isReference)) context.Output.WriteLine(line);
    }

    private bool IsBf16Fast(RunSettings settings) =>
        PrecisionProbe.Measure(settings.Data.CacheFolder).IsBf16Fast;
}
