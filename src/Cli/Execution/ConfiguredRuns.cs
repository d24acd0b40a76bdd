using Pipeline.Cli.Configuration;
using Pipeline.Nodes;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Stages;
using Pipeline.Training;

namespace Pipeline.Cli.Execution;

/// <summary>Makes of the settings that a run is submitted with what this node computes with. Corpora stay open until the process ends.</summary>
internal sealed class ConfiguredRuns(CommandContext context) : IRunSource, IStageWorkloadFactory
{
    private readonly IReadOnlyList<FaultHook> _faults = FaultHook.From(context.Variables);
    private readonly Lock _gate = new();
    private readonly Dictionary<string, RunMaterials> _materials = new(StringComparer.Ordinal);

    public IStageWorkloadFactory Workloads => this;

    public ILedRun Open(RunSubmission submission, string leader) => LedRun.Open(context, MaterialsOf(submission.Configuration), submission, leader);

    public async Task<IRunAttendance?> AttendAsync(RunSubmission submission, CommandDesk desk, string token) =>
        await RunAttendance.StartAsync(context, MaterialsOf(submission.Configuration).Settings.Telemetry, () => desk, token).ConfigureAwait(false);

    public Task<CommandAnswer> GenerateAsync(RunFiles files, string prompt, CancellationToken cancellation) => GenerationProcess.RunAsync(files, prompt, cancellation);

    public StageWorkload Create(StageProtocol.AssignStage assignment)
    {
        var configuration = assignment.Layout.Configuration;
        var materials = MaterialsOf(configuration);
        var directory = materials.Settings.Run.Directory ?? throw new InvalidOperationException("The run was submitted without its directory.");
        var plan = materials.Plan(CheckpointStores.Open(materials.Settings.Checkpoint, new RunFiles(directory)), configuration, 0);
        return PipelineRun.WorkloadOf(plan).Create(assignment) with { Probe = _faults.Count == 0 ? null : Pass };
    }

    private void Pass(StagePoint point)
    {
        foreach (var fault in _faults) fault.Pass(point);
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
}
