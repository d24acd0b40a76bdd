using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Pipeline.Model.Numerics;
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

    /// <summary>
    /// Share of a parameter's mean second moment below which none stays frozen: an element whose gradients were small by chance while the moments
    /// still followed would move without bound, since compression gives it the magnitude of its neighbours. At a hundredth it moves ten times as far
    /// as they do at most.
    /// </summary>
    private const double LeastFrozenShare = 0.01;

    /// <summary>Updates master weights and moments and clears the gradient; the compute weights are the caller's to refresh.</summary>
    internal static void Step(UnitState unit, long step, OptimizerSettings settings, double gradientFactor)
    {
        Ranges(unit, step, settings, gradientFactor, ahead: false);
        if (step == settings.FrozenAfter) Freeze(unit);
    }

    /// <summary>Writes the weights that <see cref="Step"/> would give, to the same bits, into <see cref="UnitState.Working"/> alone.</summary>
    internal static void Ahead(UnitState unit, long step, OptimizerSettings settings, double gradientFactor) =>
        Ranges(unit, step, settings, gradientFactor, ahead: true);

    private static void Ranges(UnitState unit, long step, OptimizerSettings settings, double gradientFactor, bool ahead)
    {
        var learningRate = settings.LearningRateAt(step);
        var rates = new Rates(settings, learningRate, step, gradientFactor);
        foreach (var range in unit.OptimizerRanges)
            Range(unit, range, rates, range.Decays ? 1 - learningRate * settings.WeightDecay : 1, ahead);
    }

    /// <summary>Raises what is too small to be divided by for good. Each parameter by itself: the bits do not depend on who holds it with which others.</summary>
    internal static void Freeze(UnitState unit)
    {
        using var guard = no_grad();
        foreach (var parameter in unit.Parameters.Where(parameter => parameter.IsOwned))
        {
            using var scope = NewDisposeScope();
            var onHost = parameter.SecondMoment.cpu().reshape(-1).to_type(ScalarType.Float32);
            double sum = 0;
            foreach (var value in Floats(onHost)) sum += value;
            var least = (float)(LeastFrozenShare * sum / onHost.numel());
            foreach (ref var value in Floats(onHost)) value = Math.Max(value, least);
            parameter.SecondMoment.copy_(onHost.view(parameter.SecondMoment.shape));
        }
    }

    private static void Range(UnitState unit, OptimizerRange range, Rates rates, double decay, bool ahead)
    {
        for (var done = 0L; done < range.Length; done += PieceLength)
        {
            var count = Math.Min(PieceLength, range.Length - done);
            using var weight = unit.Master.narrow(0, range.MasterStart + done, count);
            using var gradient = unit.SummedGradient.narrow(0, unit.KeepsOwnedGradients ? range.MomentStart + done : range.Start + done, count);
            using var first = unit.FirstMoment.narrow(0, range.MomentStart + done, count);
            using var second = unit.SecondMoment.narrow(0, range.MomentStart + done, count);
            using var working = unit.Working.narrow(0, range.MasterStart + done, count);
            var isVector = weight.device_type == DeviceType.CPU && weight.dtype == ScalarType.Float32;
            if (isVector && ahead) AheadOnCpu(Floats(weight), Floats(gradient), Floats(first), Floats(second), Floats(working), rates, (float)decay);
            else if (isVector) OnCpu(Floats(weight), Floats(gradient), Floats(first), Floats(second), rates, (float)decay);
            else if (ahead) AheadOnDevice(weight, gradient, first, second, working, rates, decay);
            else OnDevice(weight, gradient, first, second, rates, decay);
        }
    }

    private static Span<float> Floats(Tensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.bytes);

    private static void OnCpu(Span<float> weight, Span<float> gradient, Span<float> first, Span<float> second, Rates rates, float decay)
    {
        ref var w = ref MemoryMarshal.GetReference(weight);
        ref var g = ref MemoryMarshal.GetReference(gradient);
        ref var m = ref MemoryMarshal.GetReference(first);
        ref var v = ref MemoryMarshal.GetReference(second);
        var lanes = new Lanes(rates, decay);
        // Ranges are padded to whole vectors, so there is no tail.
        for (nuint index = 0; index < (nuint)weight.Length; index += 8)
        {
            var firsts = Vector256.LoadUnsafe(ref m, index);
            var seconds = Vector256.LoadUnsafe(ref v, index);
            var weights = lanes.Next(Vector256.LoadUnsafe(ref w, index), Vector256.LoadUnsafe(ref g, index), ref firsts, ref seconds);
            firsts.StoreUnsafe(ref m, index);
            seconds.StoreUnsafe(ref v, index);
            weights.StoreUnsafe(ref w, index);
            Vector256<float>.Zero.StoreUnsafe(ref g, index);
        }
    }

    private static void AheadOnCpu(Span<float> weight, Span<float> gradient, Span<float> first, Span<float> second, Span<float> working, Rates rates, float decay)
    {
        ref var w = ref MemoryMarshal.GetReference(weight);
        ref var g = ref MemoryMarshal.GetReference(gradient);
        ref var m = ref MemoryMarshal.GetReference(first);
        ref var v = ref MemoryMarshal.GetReference(second);
        ref var target = ref MemoryMarshal.GetReference(working);
        var lanes = new Lanes(rates, decay);
        for (nuint index = 0; index < (nuint)weight.Length; index += 8)
        {
            var firsts = Vector256.LoadUnsafe(ref m, index);
            var seconds = Vector256.LoadUnsafe(ref v, index);
            lanes.Next(Vector256.LoadUnsafe(ref w, index), Vector256.LoadUnsafe(ref g, index), ref firsts, ref seconds).StoreUnsafe(ref target, index);
        }
    }

    private static void OnDevice(Tensor weight, Tensor gradient, Tensor first, Tensor second, Rates rates, double decay)
    {
        using var scope = NewDisposeScope();
        gradient.ScaleInPlace(rates.Factor);
        first.ScaleInPlace(rates.Beta1).AddInPlace(gradient, 1 - rates.Beta1);
        second.ScaleInPlace(rates.Beta2).AddProductInPlace(gradient, gradient, 1 - rates.Beta2);
        var denominator = second.sqrt().ScaleInPlace(rates.InverseRoot).AddInPlace(rates.Epsilon);
        weight.ScaleInPlace(decay).AddQuotientInPlace(first, denominator, -rates.StepSize);
        gradient.FillInPlace(0);
    }

    // The operations of OnDevice in their order, on copies: the same bits.
    private static void AheadOnDevice(Tensor weight, Tensor gradient, Tensor first, Tensor second, Tensor working, Rates rates, double decay)
    {
        using var scope = NewDisposeScope();
        var scaled = gradient.Times(rates.Factor);
        var firsts = first.Times(rates.Beta1).AddInPlace(scaled, 1 - rates.Beta1);
        var denominator = second.Times(rates.Beta2).AddProductInPlace(scaled, scaled, 1 - rates.Beta2).sqrt_().ScaleInPlace(rates.InverseRoot).AddInPlace(rates.Epsilon);
        working.copy_(weight).ScaleInPlace(decay).AddQuotientInPlace(firsts, denominator, -rates.StepSize);
    }

    /// <summary>The rule itself, on eight elements.</summary>
    private readonly struct Lanes(Rates rates, float decay)
    {
        private readonly Vector256<float> _factor = Vector256.Create((float)rates.Factor);
        private readonly Vector256<float> _keep1 = Vector256.Create((float)rates.Beta1);
        private readonly Vector256<float> _take1 = Vector256.Create((float)(1 - rates.Beta1));
        private readonly Vector256<float> _keep2 = Vector256.Create((float)rates.Beta2);
        private readonly Vector256<float> _take2 = Vector256.Create((float)(1 - rates.Beta2));
        private readonly Vector256<float> _size = Vector256.Create((float)rates.StepSize);
        private readonly Vector256<float> _root = Vector256.Create((float)rates.InverseRoot);
        private readonly Vector256<float> _epsilon = Vector256.Create((float)rates.Epsilon);
        private readonly Vector256<float> _shrink = Vector256.Create(decay);

        /// <summary>The next weights; the moments move on.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        internal Vector256<float> Next(Vector256<float> weights, Vector256<float> summed, ref Vector256<float> firsts, ref Vector256<float> seconds)
        {
            var gradients = summed * _factor;
            firsts = firsts * _keep1 + gradients * _take1;
            seconds = seconds * _keep2 + gradients * gradients * _take2;
            var denominators = Vector256.Sqrt(seconds) * _root + _epsilon;
            return weights * _shrink - _size * firsts / denominators;
        }
    }

    /// <summary>The step's constants: step size with the first moment's bias correction, 1 ÷ √ of the second's.</summary>
    private readonly struct Rates(OptimizerSettings settings, double learningRate, long step, double factor)
    {
        internal double Factor { get; } = factor;

        internal double Beta1 { get; } = settings.Beta1;

        internal double Beta2 { get; } = step > settings.FrozenAfter ? 1 : settings.Beta2;

        internal double Epsilon { get; } = settings.Epsilon;

        internal double StepSize { get; } = learningRate / (1 - Math.Pow(settings.Beta1, step));

        internal double InverseRoot { get; } = 1 / Math.Sqrt(1 - Math.Pow(settings.Beta2, Math.Min(step, settings.FrozenAfter ?? step)));
    }
}
