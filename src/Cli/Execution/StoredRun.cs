using Pipeline.Checkpoints;
using Pipeline.Cli.Configuration;
using Pipeline.Model.Training;
using Pipeline.Runs;
using Pipeline.Stages;

namespace Pipeline.Cli.Execution;

/// <summary>A run that lies on disk, opened to be read: its settings, its corpus, its checkpoints. Owns the token files.</summary>
internal sealed class StoredRun : IDisposable
{
    private StoredRun(RunFiles files, RunMaterials materials)
    {
        Files = files;
        Materials = materials;
        Checkpoints = CheckpointStores.Open(materials.Settings.Checkpoint, files);
    }

    public RunFiles Files { get; }

    public RunMaterials Materials { get; }

    public ICheckpointStore Checkpoints { get; }

    /// <summary>Opens the run in a directory with the configuration stored there.</summary>
    /// <exception cref="UsageException">No run is there.</exception>
    public static StoredRun Open(string folder, CommandContext context, CancellationToken cancellation)
    {
        var files = new RunFiles(Path.GetFullPath(folder));
        if (!File.Exists(files.Configuration))
            throw new UsageException($"{folder} holds no run: there is no config.conf. Name the directory of a run, such as runs/2026-05-01-gpt-micro-001.");
        var stored = ConfigurationLayer.FromFile(files.Configuration);
        var bound = RunSettingsBinder.Resume(stored, ConfigurationSources.None);
        return new StoredRun(files, RunMaterials.Prepare(bound.Settings, context, cancellation));
    }

    /// <summary>The whole model in the state after a step.</summary>
    /// <param name="step">Step of a checkpoint; 0 for the initial state.</param>
    /// <param name="trains">Whether gradients and moments are wanted.</param>
    public StageModel Model(long step, bool trains)
    {
        var settings = Materials.Settings;
        var model = new StageModel(Materials.Units, 0, Materials.Units.Count, new StageOptions(settings.Arithmetic(), Materials.Device(), (ulong)settings.Seed, trains));
        if (step == 0) return model;
        using var reader = Checkpoints.Open(step);
        Materials.RequireMatch(reader);
        StateLoader.Load(model, reader);
        return model;
    }

    /// <summary>Steps of its complete checkpoints, rising, with 0 for the initial state first.</summary>
    public IReadOnlyList<long> StartingPoints() =>
        [0, .. Checkpoints.List().Where(checkpoint => checkpoint.State == CheckpointState.Complete).Select(checkpoint => checkpoint.Step).Order()];

    public void Dispose() => Materials.Dispose();
}
