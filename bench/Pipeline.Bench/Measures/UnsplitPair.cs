using System.Diagnostics;
using Pipeline.Model;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using TorchSharp;

namespace Pipeline.Bench.Measures;

/// <summary>Two unsplit trainers, each in a thread of its own, at the same time: what the same cores do without a pipeline.</summary>
internal static class UnsplitPair
{
    /// <summary>Tokens per second of both together over some steps of each, after one to warm up.</summary>
    /// <param name="units">The model.</param>
    /// <param name="batches">One step's micro-batches.</param>
    /// <param name="optimizer">Optimizer.</param>
    /// <param name="precision">Arithmetic.</param>
    /// <param name="tokensPerStep">Tokens of a step.</param>
    /// <param name="stepCount">Measured steps.</param>
    public static async Task<double> TokensPerSecondAsync(
        IReadOnlyList<Unit> units, IBatchSource batches, OptimizerSettings optimizer, Precision precision, long tokensPerStep, int stepCount)
    {
        using var start = new Barrier(2);
        var trainers = Enumerable.Range(0, 2).Select(_ => Task.Factory.StartNew(
            () => StepSeconds(units, batches, optimizer, precision, stepCount, start),
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default));
        var seconds = await Task.WhenAll([.. trainers]).ConfigureAwait(false);
        return seconds.Sum(second => tokensPerStep / second);
    }

    // Both run warm, and end together but for the difference of their speeds.
    private static double StepSeconds(IReadOnlyList<Unit> units, IBatchSource batches, OptimizerSettings optimizer, Precision precision, int stepCount, Barrier start)
    {
        TorchRuntime.UseThreads(1);
        using var model = new StageModel(units, 0, units.Count, new StageOptions(precision, torch.CPU, 1));
        var trainer = new ReferenceTrainer(model, batches, optimizer);
        trainer.Step(1);
        start.SignalAndWait();
        var begun = Stopwatch.GetTimestamp();
        for (var step = 2; step <= stepCount + 1; step++) trainer.Step(step);
        return Stopwatch.GetElapsedTime(begun).TotalSeconds / stepCount;
    }
}
