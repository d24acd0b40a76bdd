using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Pipeline.Model.Units;
using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Model.Training;

/// <summary>
/// AdamW with decoupled decay (Loshchilov and Hutter 2019) over a unit's flat buffers. On a CPU one pass of our own over memory reads
/// and clears the gradient, updates both moments and the weights; on other devices flat tensor operations do the same.
/// Only additions, products, one division and one root per element, each correctly rounded: the bits do not depend on vector width.
/// </summary>
internal static class AdamW
{
    private const int PieceLength = 1 << 28;

    internal static void Step(UnitState unit, long step, OptimizerSettings settings, double gradientFactor)
    {
        var learningRate = settings.LearningRateAt(step);
        var rates = new Rates(settings, learningRate, step, gradientFactor);
        Range(unit, 0, unit.DecayLength, rates, 1 - learningRate * settings.WeightDecay);
        Range(unit, unit.DecayLength, unit.Master.numel() - unit.DecayLength, rates, 1);
        unit.RefreshCompute();
    }

    private static void Range(UnitState unit, long start, long length, Rates rates, double decay)
    {
        for (var done = 0L; done < length; done += PieceLength)
        {
            var count = Math.Min(PieceLength, length - done);
            using var weight = unit.Master.narrow(0, start + done, count);
            using var gradient = unit.Gradient.narrow(0, start + done, count);
            using var first = unit.FirstMoment.narrow(0, start + done, count);
            using var second = unit.SecondMoment.narrow(0, start + done, count);
            if (weight.device_type == DeviceType.CPU && weight.dtype == ScalarType.Float32)
                OnCpu(Floats(weight), Floats(gradient), Floats(first), Floats(second), rates, (float)decay);
            else
                OnDevice(weight, gradient, first, second, rates, decay);
        }
    }

    private static Span<float> Floats(Tensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.bytes);

    private static void OnCpu(Span<float> weight, Span<float> gradient, Span<float> first, Span<float> second, Rates rates, float decay)
    {
        ref var w = ref MemoryMarshal.GetReference(weight);
        ref var g = ref MemoryMarshal.GetReference(gradient);
        ref var m = ref MemoryMarshal.GetReference(first);
        ref var v = ref MemoryMarshal.GetReference(second);
        var (factor, keep1, take1) = (Vector256.Create((float)rates.Factor), Vector256.Create((float)rates.Beta1), Vector256.Create((float)(1 - rates.Beta1)));
        var (keep2, take2) = (Vector256.Create((float)rates.Beta2), Vector256.Create((float)(1 - rates.Beta2)));
        var (size, root, epsilon) = (Vector256.Create((float)rates.StepSize), Vector256.Create((float)rates.InverseRoot), Vector256.Create((float)rates.Epsilon));
        var shrink = Vector256.Create(decay);
        // Ranges are padded to whole vectors, so there is no tail.
        for (nuint index = 0; index < (nuint)weight.Length; index += 8)
        {
            var gradients = Vector256.LoadUnsafe(ref g, index) * factor;
            var firsts = Vector256.LoadUnsafe(ref m, index) * keep1 + gradients * take1;
            var seconds = Vector256.LoadUnsafe(ref v, index) * keep2 + gradients * gradients * take2;
            var denominators = Vector256.Sqrt(seconds) * root + epsilon;
            var weights = Vector256.LoadUnsafe(ref w, index) * shrink - size * firsts / denominators;
            firsts.StoreUnsafe(ref m, index);
            seconds.StoreUnsafe(ref v, index);
            weights.StoreUnsafe(ref w, index);
            Vector256<float>.Zero.StoreUnsafe(ref g, index);
        }
    }

    private static void OnDevice(Tensor weight, Tensor gradient, Tensor first, Tensor second, Rates rates, double decay)
    {
        using var scope = NewDisposeScope();
        gradient.mul_(rates.Factor);
        first.mul_(rates.Beta1).add_(gradient, alpha: 1 - rates.Beta1);
        second.mul_(rates.Beta2).addcmul_(gradient, gradient, value: 1 - rates.Beta2);
        var denominator = second.sqrt().mul_(rates.InverseRoot).add_(rates.Epsilon);
        weight.mul_(decay).addcdiv_(first, denominator, value: -rates.StepSize);
        gradient.fill_(0);
    }

    /// <summary>The step's constants: step size with the first moment's bias correction, 1 ÷ √ of the second's.</summary>
    private readonly struct Rates(OptimizerSettings settings, double learningRate, long step, double factor)
    {
        internal double Factor { get; } = factor;

        internal double Beta1 { get; } = settings.Beta1;

        internal double Beta2 { get; } = settings.Beta2;

        internal double Epsilon { get; } = settings.Epsilon;

        internal double StepSize { get; } = learningRate / (1 - Math.Pow(settings.Beta1, step));

        internal double InverseRoot { get; } = 1 / Math.Sqrt(1 - Math.Pow(settings.Beta2, step));
    }
}
