using Pipeline.Checkpoints;
using Pipeline.Cli.Planning;
using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Operator;
using Pipeline.Runs;
using Pipeline.Training;

namespace Pipeline.Cli.Execution;

/// <summary>
/// A run as this node leads it: its directory taken for this leader alone, what a former leader has left, and the files in which it is
/// recorded, which it owns.
/// </summary>
internal sealed class LedRun : ILedRun, IRunObserver
{
    private readonly RunRecorder _recorder;
    private readonly RunVerdict _verdict;
    private readonly RunMeter _meter;
    private readonly RunLog _log;
    private readonly RunArtifacts _artifacts;
    private readonly RunDirectory? _directory;
    private readonly RunFiles _files;
    private readonly RunJournal _journal;

    private LedRun(CoordinatedRun coordinated, RunJournal journal, RunRecorder recorder, RunLog log, RunVerdict verdict, RunArtifacts artifacts, RunFiles files, RunDirectory? directory)
    {
        (Coordinated, _journal, _recorder, _log, _verdict, _artifacts, _files, _directory) = (coordinated, journal, recorder, log, verdict, artifacts, files, directory);
        _meter = new RunMeter(TimeProvider.System, coordinated.Run);
    }

    public CoordinatedRun Coordinated { get; }

    public bool IsTakenOver => _journal.IsSuperseded;

    public IRunObserver Recorder => this;

    /// <summary>Takes the directory and opens the run.</summary>
    internal static LedRun Open(CommandContext context, RunMaterials materials, RunSubmission submission, string leader)
    {
        var files = new RunFiles(submission.Directory);
        var store = CheckpointStores.Open(materials.Settings.Checkpoint, files);
        var plan = materials.Plan(store, submission.Configuration, submission.ResumeFrom).In(files, submission.ResumeFrom);
        var layout = RunLayout.For(plan);
        // The lock of a former leader that is frozen stays held: the journal decides who writes.
        var directory = submission.IsLocked || RunJournal.Last(files.Journal) is not null ? null : RunDirectory.OpenForResume(files.Folder);
        try
        {
            var (journal, last) = RunJournal.Claim(files.Journal, leader);
            var predecessor = last is null ? null : PredecessorOf(last, files, store, submission.ResumeFrom);
            var recorder = predecessor is null
                ? RunRecording.Open(materials, submission.ResumeFrom, files, context.Time, leader)
                : RunRecording.TakeOver(materials, predecessor.RecordedStep, files, context.Time, leader);
            Divisions divisions = new(plan, materials);
            var unitCounts = predecessor?.Entry.UnitCounts ?? layout.UnitCounts;
            var coordinated = PipelineRun.Coordinated(plan, layout, stages: null, materials.TokensPerMicroBatch);
            var replicaCount = predecessor is null ? layout.ReplicaCount : predecessor.Entry.Replicas(coordinated.HasReducers).ReplicaCount;
            // Costs are those of where the run was submitted, and only wanted at its end.
            var verdict = RunVerdict.Of(materials.Settings, layout, () => RunPrediction.Of(materials.Settings, layout, ProfileStore.ReadOrEstimate(files.Profile, materials.Settings), materials.Settings.Step.Recompute));
            if (replicaCount != layout.ReplicaCount || !unitCounts.SequenceEqual(layout.UnitCounts)) verdict.Changed("a former leader has divided its units anew");
            // Replicas with stages of their own stay as they are.
            if (layout.Mesh.IsEven) coordinated = coordinated with
            {
                // A predecessor may have gone on with fewer ranks in each replica.
                RankCount = layout.ReplicaCount * divisions.RanksOf(unitCounts),
                RankBytes = divisions.BytesOf(unitCounts, replicaCount),
                Repartition = divisions.Measured,
                DivideOver = divisions.Over,
                DivisionFor = divisions.OfReplicas,
                Elastic = coordinated.Elastic is { } elastic ? elastic with { Divide = divisions.OfReplicas } : null,
            };
            coordinated = coordinated with
            {
                Run = PipelineRun.IdOf(submission.Directory + " " + submission.Start),
                Configuration = submission.Configuration,
                // Every node reaches the run's directory: copies may go there, should an operator want them on disk.
                Protection = plan.Protection.Folder.Length > 0 ? plan.Protection : plan.Protection with { Folder = files.Copies },
                Journal = journal,
                Predecessor = predecessor,
                Hangs = RunJournal.Hangs(files.Journal),
                Plan = coordinated.Plan with { WindowSpan = materials.Settings.Cluster.AheadSpan, MostStepsAhead = materials.Settings.Cluster.AheadSteps },
                AheadByteCount = materials.Settings.Cluster.AheadByteCount,
                Recovery = new RecoverySettings
                {
                    SuspectAfter = materials.Settings.Cluster.SuspectAfter, StallAfter = TimeSpan.FromSeconds(10), SaveStallAfter = TimeSpan.FromSeconds(60),
                    HangAfter = materials.Settings.Cluster.HangAfter,
                    RelievesLeader = true,
                },
            };
            var log = RunLog.Open(Path.Combine(files.Logs, "run.log"), materials.Settings.Telemetry.Format, Path.GetFileName(files.Folder), context.Time, last?.Generation.Number ?? 1);
            return new LedRun(coordinated, journal, recorder, log, verdict, new RunArtifacts(context, materials, files), files, directory);
        }
        catch
        {
            directory?.Dispose();
            throw;
        }
    }

    public void OnNotice(RunNotice notice)
    {
        _verdict.OnNotice(notice);
        _meter.OnNotice(notice);
        var ends = notice is RunNotice.Ended && !IsTakenOver;
        // Drawn before the end is written: whoever waits for the end finds the plots.
        if (ends) _artifacts.Plot(_verdict);
        _recorder.OnNotice(notice);
        _log.OnNotice(notice);
        if (ends) EndpointAnnouncement.Remove(_files.Endpoint);
    }

    public void Dispose()
    {
        _recorder.Dispose();
        _log.Dispose();
        _meter.Dispose();
        _directory?.Dispose();
    }

    private static Predecessor PredecessorOf(JournalEntry entry, RunFiles files, ICheckpointStore store, long start)
    {
        var lines = File.Exists(files.Metrics) ? MetricsReader.Read(files.Metrics).ToArray() : [];
        return new Predecessor(
            entry,
            lines.OfType<StepMetrics>().Select(line => line.Step).DefaultIfEmpty(start).Max(),
            lines.OfType<EvaluationMetrics>().Select(line => line.Step).DefaultIfEmpty(start).Max(),
            store.List().Where(checkpoint => checkpoint.State == CheckpointState.Complete).Select(checkpoint => checkpoint.Step).DefaultIfEmpty(start).Max(),
            ChangedSettings.SkippedInRow(lines));
    }
}
