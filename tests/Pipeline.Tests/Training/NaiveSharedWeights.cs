using System.Runtime.InteropServices;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Reduction.Compression;
using Pipeline.Training;
using TorchSharp;

namespace Pipeline.Tests.Training;

/// <summary>
/// Weights of which each step sends the difference, compressed, as it is defined: one whole model computes with what was sent so far, another one takes the optimizer's steps with its gradients,
/// and what of the second the first has not is compressed, parameter by parameter.
/// </summary>
internal static class NaiveSharedWeights
{
    /// <summary>Loss and norm of each step, in bits. Of two micro-batches, whose sum has one order.</summary>
    internal static IReadOnlyList<(long Loss, long Norm)> Train(TrainingPlan plan)
    {
        TorchRuntime.Initialize();
        TorchRuntime.UseThreads(1);
        using var shared = Whole(plan);
        using var exact = Whole(plan);
        List<(long, long)> steps = [];
        for (var step = 1L; step <= plan.Steps; step++)
        {
            var (loss, norm) = Step(plan, shared, exact, step);
            Send(plan.Reduction.Answers, shared, exact, step);
            steps.Add((BitConverter.DoubleToInt64Bits(loss), BitConverter.DoubleToInt64Bits(norm)));
        }

        return steps;
    }

    private static (double Loss, double Norm) Step(TrainingPlan plan, StageModel shared, StageModel exact, long step)
    {
        var (lossSum, tokenCount) = (0.0, 0L);
        for (var index = 0; index < 2; index++)
        {
            using var microBatch = plan.Batches.Training(step, index, torch.CPU);
            var pass = shared.Forward(microBatch, null, PassMode.Train);
            lossSum += pass.LossSum();
            tokenCount += microBatch.TokenCount;
            shared.Backward(pass, null);
        }

        shared.SumLocalTies();
        var norm = GlobalNorm.Of(shared.SquaredNorms(), tokenCount);
        foreach (var (from, to) in shared.Units.Zip(exact.Units)) Floats(from.Gradient).CopyTo(Floats(to.Gradient));
        exact.OptimizerStep(step, plan.Optimizer, plan.Optimizer.GradientFactor(norm, tokenCount));
        shared.ClearGradients();
        return (lossSum / tokenCount, norm);
    }

    private static void Send(CompressionSettings settings, StageModel shared, StageModel exact, long step)
    {
        foreach (var (target, source) in Parameters(shared).Zip(Parameters(exact)))
        {
            var weights = Floats(target.Master);
            var wanted = Floats(source.Master);
            if (step <= settings.WarmupSteps)
            {
                wanted.CopyTo(weights);
            }
            else
            {
                var difference = new float[weights.Length];
                for (var index = 0; index < difference.Length; index++) difference[index] = wanted[index] - weights[index];
                var compressor = settings.Create(difference.Length, [], 0);
                var payload = new byte[compressor.MaxByteCount(difference.Length)];
                var length = compressor.Compress(difference, default, payload, default);
                compressor.Decompress(payload.AsSpan(0, length), difference);
                for (var index = 0; index < difference.Length; index++) weights[index] += difference[index];
            }

            if (target.Weight.dtype == torch.ScalarType.BFloat16) Round(weights);
        }

        shared.StateLoaded();
    }

    /// <summary>To the nearest bf16, ties to even.</summary>
    private static void Round(Span<float> values)
    {
        foreach (ref var value in values)
        {
            var bits = BitConverter.SingleToUInt32Bits(value);
            value = BitConverter.UInt32BitsToSingle((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000);
        }
    }

    private static StageModel Whole(TrainingPlan plan) => new(plan.Units, 0, plan.Units.Count, new StageOptions(plan.Precision, torch.CPU, plan.Seed));

    private static IEnumerable<ParameterState> Parameters(StageModel model) => model.Units.SelectMany(unit => unit.Parameters);

    private static Span<float> Floats(torch.Tensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.bytes);
}
