using Pipeline.Checkpoints;
using Pipeline.Model.Units;
using TorchSharp;

namespace Pipeline.Tests.Training;

/// <summary>A unit that throws in one step, in the forward of micro-batch 1.</summary>
internal sealed class FaultyUnit(Unit inner, long failingStep, bool native = false) : Unit(inner.Name)
{
    public override IReadOnlyList<ParameterSpec> Parameters => inner.Parameters;

    public override double Cost => inner.Cost;

    public override torch.Tensor Forward(torch.Tensor input, UnitPass pass)
    {
        if (pass.MicroBatch.Step != failingStep || pass.MicroBatch.Index != 1) return inner.Forward(input, pass);
        if (native) return torch.zeros(2, 3).mm(torch.zeros(4, 5));
        throw new InvalidOperationException("deliberate fault");
    }
}

/// <summary>A last unit whose loss is infinite on one micro-batch of some steps; only the first time, if it is to heal.</summary>
internal sealed class InfiniteUnit(Unit inner, int microBatch, params long[] steps) : Unit(inner.Name)
{
    private readonly HashSet<long> _done = [];

    internal bool Heals { get; init; }

    public override IReadOnlyList<ParameterSpec> Parameters => inner.Parameters;

    public override double Cost => inner.Cost;

    public override torch.Tensor Forward(torch.Tensor input, UnitPass pass)
    {
        var loss = inner.Forward(input, pass);
        var isTurn = pass.Mode == PassMode.Train && steps.Contains(pass.MicroBatch.Step) && pass.MicroBatch.Index == microBatch;
        return isTurn && (_done.Add(pass.MicroBatch.Step) || !Heals) ? loss.div(0) : loss;
    }
}

/// <summary>A store whose disk is full for a number of writes.</summary>
internal sealed class FailingStore(ICheckpointStore inner, int failures, long fromStep = 0) : ICheckpointStore
{
    private int _left = failures;

    public StoredFile WriteTensors(SaveAttempt attempt, string fileName, IReadOnlyList<TensorSource> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        if (attempt.Step >= fromStep && Interlocked.Decrement(ref _left) >= 0) throw new CheckpointException("The disk is full.");
        return inner.WriteTensors(attempt, fileName, tensors, metadata);
    }

    public StoredFile WriteText(SaveAttempt attempt, string fileName, string text) => inner.WriteText(attempt, fileName, text);

    public CheckpointManifest Commit(SaveAttempt attempt, CheckpointDescription description, IReadOnlyList<StoredFile> files) => inner.Commit(attempt, description, files);

    public void Abandon(SaveAttempt attempt) => inner.Abandon(attempt);

    public void RemoveAfter(long step, Func<bool>? mayRemove = null) => inner.RemoveAfter(step, mayRemove);

    public IReadOnlyList<CheckpointSummary> List(bool verify = false) => inner.List(verify);

    public CheckpointReader Open(long step, bool verify = true) => inner.Open(step, verify);

    public CheckpointSelection OpenLatest(bool verify = true) => inner.OpenLatest(verify);

    public PruneReport Prune(int keepCount) => inner.Prune(keepCount);
}

/// <summary>A store whose first write, of a part or of a manifest, takes until it is let go on, as those of a network's folder do whose server is gone.</summary>
internal sealed class HangingStore(ICheckpointStore inner, ManualResetEventSlim answers, bool inManifest = false) : ICheckpointStore
{
    private int _isHung;

    private void Hang(bool isManifest)
    {
        if (isManifest == inManifest && Interlocked.Exchange(ref _isHung, 1) == 0) answers.Wait();
    }

    public StoredFile WriteTensors(SaveAttempt attempt, string fileName, IReadOnlyList<TensorSource> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        Hang(isManifest: false);
        return inner.WriteTensors(attempt, fileName, tensors, metadata);
    }

    public StoredFile WriteText(SaveAttempt attempt, string fileName, string text) => inner.WriteText(attempt, fileName, text);

    public CheckpointManifest Commit(SaveAttempt attempt, CheckpointDescription description, IReadOnlyList<StoredFile> files)
    {
        Hang(isManifest: true);
        return inner.Commit(attempt, description, files);
    }

    public void Abandon(SaveAttempt attempt) => inner.Abandon(attempt);

    public void RemoveAfter(long step, Func<bool>? mayRemove = null) => inner.RemoveAfter(step, mayRemove);

    public IReadOnlyList<CheckpointSummary> List(bool verify = false) => inner.List(verify);

    public CheckpointReader Open(long step, bool verify = true) => inner.Open(step, verify);

    public CheckpointSelection OpenLatest(bool verify = true) => inner.OpenLatest(verify);

    public PruneReport Prune(int keepCount) => inner.Prune(keepCount);
}
