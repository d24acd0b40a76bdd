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
    /// <summary>Tokens per second of both together over one step of each.</summary>
    /// <param name="units">The model.</param>
    /// <param name="batches">One step's micro-batches.</param>
    /// <param name="optimizer">Optimizer.</param>
    /// <param name="precision">Arithmetic.</param>
    /// <param name="tokensPerStep">Tokens of a step.</param>
    public static async Task<double> TokensPerSecondAsync(
        IReadOnlyList<Unit> units, IBatchSource batches, OptimizerSettings optimizer, Precision precision, long tokensPerStep)
    {
        using var start = new Barrier(2);
        var trainers = Enumerable.Range(0, 2).Select(_ => Task.Factory.StartNew(
            () => StepSeconds(units, batches, optimizer, precision, start),
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default));
        var seconds = await Task.WhenAll([.. trainers]).ConfigureAwait(false);
        return seconds.Sum(second => tokensPerStep / second);
    }

    // The models are made before the clock starts, as the pipeline's are.
    private static double StepSeconds(IReadOnlyList<Unit> units, IBatchSource batches, OptimizerSettings optimizer, Precision precision, Barrier start)
    {
        TorchRuntime.UseThreads(1);
        using var model = new StageModel(units, 0, units.Count, new StageOptions(precision, torch.CPU, 1));
        var trainer = new ReferenceTrainer(model, batches, optimizer);
        start.SignalAndWait();
        var begun = Stopwatch.GetTimestamp();
        trainer.Step(1);
        return Stopwatch.GetElapsedTime(begun).TotalSeconds;
    }
}
