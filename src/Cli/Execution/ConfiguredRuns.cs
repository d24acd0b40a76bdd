using System.Collections.Concurrent;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Planning;
using Pipeline.Dashboard;
using Pipeline.Nodes;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Stages;
using Pipeline.Training;

namespace Pipeline.Cli.Execution;

/// <summary>Makes of the settings that a run is submitted with what this node computes with. Corpora stay open until the process ends.</summary>
internal sealed class ConfiguredRuns(CommandContext context, string node) : IRunSource, IStageWorkloadFactory, IDisposable
{
    private readonly IReadOnlyList<FaultHook> _faults = FaultHook.From(context.Variables);
    private readonly Lock _gate = new();
    private readonly Dictionary<string, RunMaterials> _materials = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Uri?> _formerPages = new(StringComparer.Ordinal);
    private readonly TelemetryExport _export = new(node);

    public IStageWorkloadFactory Workloads => this;

    public ILedRun Open(RunSubmission submission, string leader)
    {
        // Before this leader announces itself in the same file.
        _formerPages[submission.Directory] = RunAttendance.FormerPage(new RunFiles(submission.Directory));
        return LedRun.Open(context, MaterialsOf(submission.Configuration), submission, leader);
    }

    public async Task<IRunAttendance?> AttendAsync(RunSubmission submission, CommandDesk desk, string token) => await RunAttendance.StartAsync(
        context, MaterialsOf(submission.Configuration).Settings.Telemetry, () => desk, token, _formerPages.GetValueOrDefault(submission.Directory)).ConfigureAwait(false);

    public Task<CommandAnswer> GenerateAsync(RunFiles files, string prompt, CancellationToken cancellation) => GenerationProcess.RunAsync(files, prompt, cancellation);

    public Task<MeasuredUnits> MeasureAsync(ProfileProtocol.MeasureUnits ask, CancellationToken cancellation) => NodeMeasurement.RunAsync(ask, cancellation);

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

    public void Dispose() => _export.Dispose();

    /// <summary>Stages of one process share the token files, and prepare a corpus that is new here once.</summary>
    private RunMaterials MaterialsOf(string configuration)
    {
        lock (_gate)
        {
            if (_materials.TryGetValue(configuration, out var known)) return known;
            var bound = RunSettingsBinder.Resume(ConfigurationLayer.FromHocon("the submitted run", configuration), ConfigurationSources.None);
            // Whoever computes for a run sends its spans where the run's go.
            _export.Send(bound.Settings.Telemetry.Otlp);
            return _materials[configuration] = RunMaterials.Prepare(bound.Settings, context, CancellationToken.None);
        }
    }
}
