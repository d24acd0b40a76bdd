using System.Numerics;
using Pipeline.Model.Units;

namespace Pipeline.Model.Training;

/// <summary>What one committed step amounted to.</summary>
/// <param name="Step">Step, counted from 1.</param>
/// <param name="Loss">Mean loss in nats per token.</param>
/// <param name="GradientNorm">Global norm of the mean gradient, before clipping.</param>
/// <param name="LearningRate">Learning rate used.</param>
/// <param name="TokenCount">Tokens of the step.</param>
/// <param name="Fault">Why the step was passed over: weights and moments are as before it, its samples are used up; null for a step that was applied.</param>
public sealed record StepResult(long Step, double Loss, double GradientNorm, double LearningRate, long TokenCount, NonFiniteFault? Fault = null);

/// <summary>What of a step was infinite or not a number.</summary>
/// <param name="MicroBatch">The first micro-batch whose loss it was; null where only the norm was not finite.</param>
public sealed record NonFiniteFault(int? MicroBatch);

/// <summary>
/// Trains the unsplit model in the calling thread: the oracle of every equality test. A pipeline must give the same bits in any layout.
/// </summary>
/// <param name="model">All units; the caller owns it.</param>
/// <param name="source">Micro-batches by position.</param>
/// <param name="settings">Optimizer.</param>
/// <param name="summation">Order in which the micro-batches' gradients are added.</param>
/// <param name="replicaCount">Replicas whose order of addition it follows; it matters where the summation is fast. They share the micro-batches evenly.</param>
/// <param name="reducesEachMicroBatch">Whether these replicas add each micro-batch up before the next one, as they do where gradients are freed; it matters likewise.</param>
public sealed class ReferenceTrainer(
    StageModel model, IBatchSource source, OptimizerSettings settings, Summation summation = Summation.Fast, int replicaCount = 1, bool reducesEachMicroBatch = false)
{
    private readonly bool _isByRound = reducesEachMicroBatch && summation == Summation.Fast;
    private readonly int _leafLength = summation == Summation.Invariant ? 1 : source.MicroBatchCount / replicaCount;
    private readonly double[] _losses = new double[source.MicroBatchCount];
    private long _tokenCount;
    private int? _nonFinite;

    /// <summary>
    /// Runs one step: every micro-batch in index order, tied sums, norm, clip, AdamW. Where a loss or the norm is not finite the step is
    /// passed over: it changes nothing, its loss and norm count as not a number, and the next one has its own number.
    /// </summary>
    public StepResult Step(long step)
    {
        (_tokenCount, _nonFinite) = (0, null);
        if (_isByRound) SumByRound(step);
        else SumAsTree(0, source.MicroBatchCount / _leafLength, leaf => AddShare(step, leaf));
        double lossSum = 0;
        foreach (var loss in _losses) lossSum += loss;
        return Finish(step, lossSum, _tokenCount);
    }

    /// <summary>Mean loss of the first micro-batches of the held-out text.</summary>
    /// <param name="microBatchCount">At most so many micro-batches.</param>
    public double Evaluate(int microBatchCount)
    {
        double lossSum = 0;
        long tokenCount = 0;
        for (var index = 0; index < microBatchCount; index++)
        {
            using var microBatch = source.Validation(index, model.Options.Device);
            if (microBatch is null) break;
            using var pass = model.Forward(microBatch, null, PassMode.Eval);
            lossSum += pass.LossSum();
            tokenCount += microBatch.TokenCount;
        }

        return lossSum / tokenCount;
    }

    /// <summary>
    /// The definition of the tree, by recursion: the largest power of two below the count to the left, the rest to the right. Leaves the sum of so
    /// many leaves in the gradients, which must be zero before.
    /// </summary>
    private void SumAsTree(int first, int count, Action<int> add)
    {
        if (count == 1)
        {
            add(first);
            return;
        }

        var half = (int)BitOperations.RoundUpToPowerOf2((uint)count) / 2;
        SumAsTree(first, half, add);
        using var left = new SetAsideGradients(model.Units);
        SumAsTree(first + half, count - half, add);
        left.AddToGradients();
    }

    /// <summary>A leaf is one micro-batch, or a replica's share in index order.</summary>
    private void AddShare(long step, int leaf)
    {
        for (var index = 0; index < _leafLength; index++) AddMicroBatch(step, leaf * _leafLength + index);
    }

    /// <summary>The first micro-batches of all replicas as a tree, then their second ones, and so on, each sum added to those before.</summary>
    private void SumByRound(long step)
    {
        for (var round = 0; round < _leafLength; round++)
        {
            using var before = new SetAsideGradients(model.Units);
            SumAsTree(0, replicaCount, replica => AddMicroBatch(step, replica * _leafLength + round));
            before.AddToGradients();
        }
    }

    private void AddMicroBatch(long step, int index)
    {
        using var microBatch = source.Training(step, index, model.Options.Device);
        var pass = model.Forward(microBatch, null, PassMode.Train);
        var loss = pass.LossSum();
        if (!double.IsFinite(loss)) _nonFinite = Math.Min(_nonFinite ?? index, index);
        model.Backward(pass, null);
        _losses[index] = loss;
        _tokenCount += microBatch.TokenCount;
    }

    private StepResult Finish(long step, double lossSum, long tokenCount)
    {
        model.SumLocalTies();
        var norm = GlobalNorm.Of(model.SquaredNorms(), tokenCount);
        var optimizer = settings.At(step);
        if (_nonFinite is not null || !double.IsFinite(norm))
        {
            model.PassOver(step, optimizer);
            return new StepResult(step, double.NaN, double.NaN, optimizer.LearningRateAt(step), tokenCount, new NonFiniteFault(_nonFinite));
        }

        model.OptimizerStep(step, optimizer, optimizer.GradientFactor(norm, tokenCount));
        return new StepResult(step, lossSum / tokenCount, norm, optimizer.LearningRateAt(step), tokenCount);
    }
}

/// <summary>The global norm from per-parameter sums of squares.</summary>
public static class GlobalNorm
{
    /// <summary>√(Σ squares, added in the model's order) ÷ tokens: the norm of the mean gradient.</summary>
    public static double Of(IEnumerable<double> squaresInModelOrder, long tokenCount)
    {
        double sum = 0;
        foreach (var square in squaresInModelOrder) sum += square;
        return Math.Sqrt(sum) / tokenCount;
    }
}
