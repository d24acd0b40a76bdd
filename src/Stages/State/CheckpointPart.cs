using System.Diagnostics;
using Pipeline.Checkpoints;
using Pipeline.Model.Training;
using Pipeline.Protocol;

namespace Pipeline.Stages;

/// <summary>
/// A rank's part in checkpoints: copies its stages' state on the compute thread and writes it on a task of its own. One part at a time:
/// a second one waits for the first for as long as a disk may take that only is slow; beside one that hangs it fails, so that no step waits for a disk. Owns one
/// snapshot a stage.
/// </summary>
/// <param name="store">Where checkpoints lie.</param>
/// <param name="firstPart">Number of the files of stage 0: of a replica that holds a share, those before it are others'.</param>
/// <param name="partCount">Parts that are written: one a stage, and where replicas hold shares one for each of these.</param>
/// <param name="patience">A part that has been written for longer holds the next one up no more.</param>
internal sealed class CheckpointPart(ICheckpointStore store, int firstPart, int partCount, TimeSpan patience) : IDisposable
{
    /// <summary>What is being written when the rank ends is completed, unless the store hangs: then its memory is freed when it comes back.</summary>
    private static readonly TimeSpan EndPatience = TimeSpan.FromSeconds(60);

    private readonly Dictionary<int, StateSnapshot> _snapshots = [];
    private readonly StateSnapshot _lost = new();
    private Task _writing = Task.CompletedTask;
    private long _begunAt;

    /// <summary>Copies now, writes meanwhile, and says how it went.</summary>
    /// <param name="attempt">Step and number of the try.</param>
    /// <param name="stages">The rank's stages.</param>
    /// <param name="residuals">What compression has lost on the rank.</param>
    /// <param name="written">Told the files.</param>
    /// <param name="failed">Told why not.</param>
    internal void Save(SaveAttempt attempt, IReadOnlyDictionary<int, StageModel> stages, RankResiduals residuals, Action<IReadOnlyList<WrittenFile>> written, Action<Exception> failed)
    {
        if (!IsFree())
        {
            failed(new CheckpointException(FormattableString.Invariant($"The part of the checkpoint before it has been written for {Stopwatch.GetElapsedTime(_begunAt).TotalSeconds:0} s and is not done: the store hangs, or is slower than checkpoints come.")));
            return;
        }

        foreach (var (stage, model) in stages)
        {
            if (!_snapshots.TryGetValue(stage, out var snapshot)) _snapshots.Add(stage, snapshot = new StateSnapshot());
            snapshot.Copy(model.State());
        }

        _lost.Copy(residuals.State);
        _begunAt = Stopwatch.GetTimestamp();
        _writing = Task.Run(() => Write(attempt, residuals, written, failed));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_writing.Wait(EndPatience)) Free();
        else _ = _writing.ContinueWith(_ => Free(), TaskScheduler.Default);
    }

    private bool IsFree()
    {
        var left = patience - Stopwatch.GetElapsedTime(_begunAt);
        return _writing.Wait(left > TimeSpan.Zero ? left : TimeSpan.Zero);
    }

    private void Free()
    {
        foreach (var snapshot in _snapshots.Values) snapshot.Dispose();
        _lost.Dispose();
    }

    private void Write(SaveAttempt attempt, RankResiduals residuals, Action<IReadOnlyList<WrittenFile>> written, Action<Exception> failed)
    {
        try
        {
            List<WrittenFile> files = [.. _snapshots.SelectMany(pair => WriteStage(attempt, pair.Key, pair.Value))];
            if (_lost.Moments.Count > 0) files.Add(OnWire(store.WriteTensors(attempt, CheckpointFileName.Residual(residuals.Rank, residuals.RankCount), _lost.Moments)));
            written(files);
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            failed(fault);
        }
    }

    private IEnumerable<WrittenFile> WriteStage(SaveAttempt attempt, int stage, StateSnapshot snapshot)
    {
        // A stage may own nothing but tied uses; an empty file would say nothing.
        if (snapshot.Weights.Count > 0)
            yield return OnWire(store.WriteTensors(attempt, CheckpointFileName.Model(firstPart + stage, partCount), snapshot.Weights));
        if (snapshot.Moments.Count > 0)
            yield return OnWire(store.WriteTensors(attempt, CheckpointFileName.Optimizer(firstPart + stage, partCount), snapshot.Moments));
    }

    private static WrittenFile OnWire(StoredFile file) =>
        new(file.Name, file.ByteCount, file.Hash, [.. file.Tensors.Select(tensor => new WrittenTensor(tensor.Name, tensor.DType, tensor.Shape, tensor.Hash))]);
}
