namespace Pipeline.Stages;

/// <summary>The losses of a step's micro-batches on the last stage, added in index order whatever order they were computed in.</summary>
/// <param name="microBatchCount">Micro-batches of a step.</param>
internal sealed class StepLosses(int microBatchCount)
{
    private readonly double[] _lossSums = new double[microBatchCount];

    internal long TokenCount { get; private set; }

    internal double LossSum
    {
        get
        {
            double sum = 0;
            foreach (var loss in _lossSums) sum += loss;
            return sum;
        }
    }

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
