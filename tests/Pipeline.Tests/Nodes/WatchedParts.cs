using Pipeline.Checkpoints;
using Pipeline.Model.Units;
using TorchSharp;

namespace Pipeline.Tests.Nodes;

/// <summary>Batches that say what is asked of them in training.</summary>
internal sealed class CountedBatches(IBatchSource inner, Action<long, int> asked) : IBatchSource
{
    public int MicroBatchCount => inner.MicroBatchCount;

    public MicroBatch Training(long step, int index, torch.Device device)
    {
        asked(step, index);
        return inner.Training(step, index, device);
    }

    public MicroBatch? Validation(int index, torch.Device device) => inner.Validation(index, device);
}

/// <summary>A store that says when it is at work.</summary>
internal sealed class WatchedStore(ICheckpointStore inner, Action<int> changed) : ICheckpointStore
{
    public StoredFile WriteTensors(SaveAttempt attempt, string fileName, IReadOnlyList<TensorSource> tensors, IReadOnlyDictionary<string, string>? metadata = null) =>
        Watched(() => inner.WriteTensors(attempt, fileName, tensors, metadata));

    public StoredFile WriteText(SaveAttempt attempt, string fileName, string text) => Watched(() => inner.WriteText(attempt, fileName, text));

    public CheckpointManifest Commit(SaveAttempt attempt, CheckpointDescription description, IReadOnlyList<StoredFile> files) => Watched(() => inner.Commit(attempt, description, files));

    public void Abandon(SaveAttempt attempt) => inner.Abandon(attempt);

    public void RemoveAfter(long step, Func<bool>? mayRemove = null) => inner.RemoveAfter(step, mayRemove);

    public IReadOnlyList<CheckpointSummary> List(bool verify = false) => inner.List(verify);

    public CheckpointReader Open(long step, bool verify = true) => inner.Open(step, verify);

    public CheckpointSelection OpenLatest(bool verify = true) => inner.OpenLatest(verify);

    public PruneReport Prune(int keepCount) => inner.Prune(keepCount);

    private T Watched<T>(Func<T> action)
    {
        changed(1);
        try
        {
            return action();
        }
        finally
        {
            changed(-1);
        }
    }
}
