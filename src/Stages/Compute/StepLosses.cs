namespace Pipeline.Stages;

/// <summary>The losses of a replica's micro-batches on its last stage, in index order whatever order they were computed in.</summary>
/// <param name="microBatchCount">Micro-batches of a step that the replica computes.</param>
internal sealed class StepLosses(int microBatchCount)
{
    private readonly double[] _lossSums = new double[microBatchCount];

    internal long TokenCount { get; private set; }

    /// <summary>The micro-batches' losses in index order, as they are now.</summary>
    internal IReadOnlyList<double> LossSums => [.. _lossSums];

    /// <summary>The first micro-batch whose loss is not finite, or −1.</summary>
    internal int NonFiniteMicroBatch => Array.FindIndex(_lossSums, loss => !double.IsFinite(loss));

    internal void Begin()
    {
        Array.Clear(_lossSums);
        TokenCount = 0;
    }

    internal void Add(int microBatch, double lossSum, long tokenCount)
    {
        _lossSums[microBatch] = lossSum;
        TokenCount += tokenCount;
    }
}
