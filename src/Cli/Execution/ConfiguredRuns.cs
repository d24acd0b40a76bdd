using Pipeline.Checkpoints;
using Pipeline.Cli.Configuration;
using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Stages;
using Pipeline.Training;

namespace Pipeline.Cli.Execution;

/// <summary>Makes of the settings that a run is submitted with what this node computes with. Corpora stay open until the process ends.</summary>
internal sealed class ConfiguredRuns(CommandContext context) : IRunSource, IStageWorkloadFactory
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, RunMaterials> _materials = new(StringComparer.Ordinal);

    public IStageWorkloadFactory Workloads => this;

    public ILedRun Open(RunSubmission submission) => new LedRun(context, MaterialsOf(submission.Configuration), submission);

    public StageWorkload Create(StageProtocol.AssignStage assignment)
    {
        var configuration = assignment.Layout.Configuration;
        var materials = MaterialsOf(configuration);
        var directory = materials.Settings.Run.Directory ?? throw new InvalidOperationException("The run was submitted without its directory.");
        var plan = materials.Plan(new FolderCheckpointStore(new RunFiles(directory).Checkpoints), configuration, assignment.Start.Step);
        return PipelineRun.WorkloadOf(plan).Create(assignment);
    }

    /// <summary>Stages of one process share the token files, and prepare a corpus that is new here once.</summary>
    private RunMaterials MaterialsOf(string configuration)
    {
        lock (_gate)
        {
            if (_materials.TryGetValue(configuration, out var known)) return known;
            var bound = RunSettingsBinder.Resume(ConfigurationLayer.FromHocon("the submitted run", configuration), ConfigurationSources.None);
            return _materials[configuration] = RunMaterials.Prepare(bound.Settings, context, CancellationToken.None);
        }
    }

    private sealed class LedRun : ILedRun, IRunObserver
    {
        private readonly RunRecorder _recorder;
        private readonly TracedSteps _traced = new();
        private readonly RunArtifacts _artifacts;

        internal LedRun(CommandContext context, RunMaterials materials, RunSubmission submission)
        {
            var files = new RunFiles(submission.Directory);
            Plan = materials.Plan(new FolderCheckpointStore(files.Checkpoints), submission.Configuration, submission.ResumeFrom);
            Layout = RunLayout.For(Plan);
            _recorder = RunRecording.Open(materials, Plan.ResumeFromStep, files, context.Time);
            _artifacts = new RunArtifacts(context, materials, files);
        }

        public TrainingPlan Plan { get; }

        public RunLayout Layout { get; }

        public IRunObserver Recorder => this;

        public void OnNotice(RunNotice notice)
        {
            _traced.OnNotice(notice);
            // Drawn before the end is written: whoever waits for the end finds the plots.
            if (notice is RunNotice.Ended) _artifacts.Plot(_traced);
            _recorder.OnNotice(notice);
        }

        public void Dispose() => _recorder.Dispose();
    }
}
