using Pipeline.Checkpoints;
using Pipeline.Model.Training;

namespace Pipeline.Stages;

/// <summary>Writes the whole state of one stage model into a save attempt, in the calling thread: for the unsplit trainer.</summary>
public static class StateWriter
{
    /// <summary>Writes weights and moments as the files of a stage.</summary>
    /// <param name="store">Where.</param>
    /// <param name="attempt">Step and number of the try.</param>
    /// <param name="model">What; it is copied first.</param>
    /// <param name="stage">Its place among the stages.</param>
    /// <param name="stageCount">How many stages write.</param>
    public static IReadOnlyList<StoredFile> Write(ICheckpointStore store, SaveAttempt attempt, StageModel model, int stage = 0, int stageCount = 1)
    {
        using var snapshot = new StateSnapshot();
        snapshot.Copy(model.State());
        List<StoredFile> files = [store.WriteTensors(attempt, CheckpointFileName.Model(stage, stageCount), snapshot.Weights)];
        if (snapshot.Moments.Count > 0) files.Add(store.WriteTensors(attempt, CheckpointFileName.Optimizer(stage, stageCount), snapshot.Moments));
        return files;
    }
}
