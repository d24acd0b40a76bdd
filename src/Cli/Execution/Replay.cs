using Pipeline.Cli.Configuration;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Stages;

namespace Pipeline.Cli.Execution;

/// <summary>Recomputes a stored run with the unsplit trainer, from one of its checkpoints on. Owns the model.</summary>
internal sealed class Replay : IDisposable
{
    private readonly StageModel _model;
    private readonly ReferenceTrainer _trainer;

    public Replay(StoredRun run, long fromStep)
    {
        var settings = run.Materials.Settings;
        if (UnsplitEquality.Obstacle(settings) is { } obstacle) throw new UsageException($"{run.Files.Folder} cannot be recomputed, since {obstacle}.");
        if (ChangedSettings.HasCompressed(run.Files))
            throw new UsageException($"{run.Files.Folder} cannot be recomputed, since an operator had gradients compressed while it was under way, and the unsplit trainer cannot recompute what was lost.");
        if (settings.Summation == Summation.Fast && EventLog.Holds(run.Files.Events, "replicas-changed"))
            throw new UsageException($"The number of replicas of {run.Files.Folder} changed while it was under way, and with it the order of addition. Only runs with {SettingsSchema.Summation} = invariant can be recomputed then.");
        _model = run.Model(fromStep, trains: true);
        _trainer = new ReferenceTrainer(_model, run.Materials.Batches, ChangedSettings.OptimizerOf(settings.Optimizer, run.Files), settings.Summation, settings.Step.ReplicaCount, settings.Step.GradientShardCount > 1);
        Step = fromStep;
    }

    /// <summary>The model is in the state after this step.</summary>
    public long Step { get; private set; }

    /// <summary>Takes the next step.</summary>
    public StepResult Advance()
    {
        var result = _trainer.Step(Step + 1);
        Step++;
        return result;
    }

    /// <summary>Hashes of the state as it is.</summary>
    public IReadOnlyList<ParameterDigest> Digests() => StateDigest.Of(_model);

    public void Dispose() => _model.Dispose();
}
