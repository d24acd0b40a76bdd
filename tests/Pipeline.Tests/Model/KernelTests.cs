using System.Runtime.InteropServices;
using CsCheck;
using Pipeline.Model;
using Pipeline.Model.Layers;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Xunit;
using static TorchSharp.torch;

namespace Pipeline.Tests.Model;

/// <summary>Each kernel against a formula written here in double, without looking at the kernel.</summary>
public sealed class KernelTests
{
    private const double Fp32 = 1.0 / (1 << 24);
    private static readonly Gen<float[]> Values = Gen.Float[-6f, 6f].Array[1, 70];

    [Fact]
    public void Gelu_and_its_derivative_follow_the_tanh_formula() => Values.Sample(values =>
    {
        using var scope = NewDisposeScope();
        var input = tensor(values).requires_grad_(true);
        var result = GeluFunction.Apply(input, trains: true, new BackwardFaults());
        result.sum().backward();
        for (var index = 0; index < values.Length; index++)
        {
            var (value, slope) = Gelu(values[index]);
            Assert.Equal(value, result[index].item<float>(), 40 * Fp32 * 6);
            Assert.Equal(slope, input.grad![index].item<float>(), 80 * Fp32 * 6);
        }
    }, iter: 30);

    [Fact]
    public void Cross_entropy_and_its_gradient_follow_softmax() =>
        Gen.Select(Gen.Float[-20f, 20f].Array[12, 12], Gen.Int[0, 3].Array[3, 3]).Sample((values, wanted) =>
        {
            using var scope = NewDisposeScope();
            var logits = tensor(values, [3, 4]);
            var loss = CrossEntropy.Of(logits, tensor(wanted.Select(target => (long)target).ToArray()), wantsGradient: true).item<double>();
            double expected = 0;
            for (var row = 0; row < 3; row++)
            {
                var line = values.AsSpan(row * 4, 4).ToArray().Select(value => (double)value).ToArray();
                var sum = line.Sum(value => Math.Exp(value - line.Max()));
                expected += Math.Log(sum) + line.Max() - line[wanted[row]];
                for (var column = 0; column < 4; column++)
                {
                    var gradient = Math.Exp(line[column] - line.Max()) / sum - (column == wanted[row] ? 1 : 0);
                    Assert.Equal(gradient, logits[row, column].item<float>(), 16 * Fp32);
                }
            }

            Assert.Equal(expected, loss, 3 * 40 * 16 * Fp32);
        }, iter: 50);

    [Theory]
    [InlineData(Precision.Fp32)]
    [InlineData(Precision.Fp64)]
    public void AdamW_follows_the_paper(Precision precision)
    {
        using var model = TinyModels.Whole(TinyModels.Settings(layers: 1), precision);
        var settings = TinyModels.Optimizer;
        var unit = model.Units[1];
        var before = Doubles(unit.Master);
        using (var noise = Noise.Normal(3, unit.Gradient.shape)) unit.Gradient.copy_(noise);
        var gradient = Doubles(unit.Gradient);
        AdamW.Step(unit, 1, settings, 0.5);
        var after = Doubles(unit.Master);
        for (var index = 0; index < before.Length; index++)
        {
            var (g, decay) = (gradient[index] * 0.5, unit.OptimizerRanges.Any(range => range.Decays && index >= range.Start && index < range.Start + range.Length) ? settings.WeightDecay : 0);
            var (m, v) = ((1 - settings.Beta1) * g, (1 - settings.Beta2) * g * g);
            var (mHat, vHat) = (m / (1 - settings.Beta1), v / (1 - settings.Beta2));
            var rate = settings.LearningRateAt(1);
            var expected = before[index] * (1 - rate * decay) - rate * mHat / (Math.Sqrt(vHat) + settings.Epsilon);
            Assert.Equal(expected, after[index], 1e-6);
        }

        Assert.All(Doubles(unit.Gradient), value => Assert.Equal(0, value));
    }

    [Fact]
    public void Sum_of_squares_is_the_sum_of_squares() => Values.Sample(values =>
        Assert.Equal(values.Sum(value => (double)value * value), SumOfSquares.Of(values), 1e-9));

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Attention_and_its_history_form_equal_a_loop_over_positions(bool history)
    {
        using var scope = NewDisposeScope();
        var (query, key, value) = (Noise.Normal(1, 1, 2, 5, 4), Noise.Normal(2, 1, 2, 5, 4), Noise.Normal(3, 1, 2, 5, 4));
        var mixed = history ? CausalAttention.ToHistory(query, key, value) : CausalAttention.Causal(query, key, value, trains: false, new BackwardFaults());
        for (var head = 0; head < 2; head++)
        {
            for (var time = 0; time < 5; time++)
            {
                var scores = Enumerable.Range(0, time + 1).Select(past =>
                    Math.Exp(Enumerable.Range(0, 4).Sum(d => At(query, head, time, d) * At(key, head, past, d)) / 2)).ToArray();
                for (var d = 0; d < 4; d++)
                {
                    var expected = scores.Select((score, past) => score / scores.Sum() * At(value, head, past, d)).Sum();
                    Assert.Equal(expected, At(mixed, head, time, d), 1e-5);
                }
            }
        }
    }

    [Fact]
    public void Blocked_attention_and_its_gradients_equal_the_library_in_fp64()
    {
        using var scope = NewDisposeScope();
        // More than one block of rows, and a last block that is not full.
        var inputs = Enumerable.Range(0, 3).Select(index => Noise.Normal((ulong)index, 1, 2, 150, 8)).ToArray();
        var weight = Noise.Normal(3, 1, 2, 150, 8);
        var leaves = inputs.Select(input => input.detach().requires_grad_(true)).ToArray();
        var wide = inputs.Select(input => input.to_type(ScalarType.Float64).detach().requires_grad_(true)).ToArray();
        var mixed = BlockedAttentionFunction.Apply(leaves[0], leaves[1], leaves[2], trains: true, new BackwardFaults());
        var expected = nn.functional.scaled_dot_product_attention(wide[0], wide[1], wide[2], is_casual: true);
        mixed.mul(weight).sum().backward();
        expected.mul(weight).sum().backward();
        Assert.True(mixed.sub(expected).abs().max().item<double>() < 2e-6);
        for (var index = 0; index < 3; index++)
            Assert.True(leaves[index].grad!.sub(wide[index].grad!).abs().max().item<double>() < 2e-5);
    }

    [Fact]
    public void Rotary_embedding_turns_pairs_by_position_times_frequency()
    {
        using var scope = NewDisposeScope();
        var heads = Noise.Normal(1, 1, 3, 1, 8);
        var turned = RotaryEmbedding.Rotate(heads, 4, 10_000);
        for (var time = 0; time < 3; time++)
        {
            for (var pair = 0; pair < 4; pair++)
            {
                var angle = (4 + time) * Math.Pow(10_000, -2.0 * pair / 8);
                var (x, y) = (heads[0, time, 0, pair].item<float>(), heads[0, time, 0, pair + 4].item<float>());
                Assert.Equal(x * Math.Cos(angle) - y * Math.Sin(angle), turned[0, time, 0, pair].item<float>(), 1e-5);
                Assert.Equal(y * Math.Cos(angle) + x * Math.Sin(angle), turned[0, time, 0, pair + 4].item<float>(), 1e-5);
            }
        }
    }

    [Theory]
    [InlineData(NormKind.Layer)]
    [InlineData(NormKind.Rms)]
    public void Norms_follow_their_formula(NormKind kind)
    {
        var settings = (kind == NormKind.Rms ? TinyModels.LlamaSettings(1) : TinyModels.Settings(1)) with { NormEpsilon = 1e-3 };
        using var scope = NewDisposeScope();
        using var model = TinyModels.Whole(settings);
        var input = Noise.Normal(1, 1, 1, settings.Width);
        var normed = new Normalization(kind, settings.Width, false, settings.NormEpsilon).Forward(input, PassOf(model));
        var x = input.data<float>().Select(value => (double)value).ToArray();
        var mean = kind == NormKind.Layer ? x.Average() : 0;
        var variance = x.Average(value => (value - mean) * (value - mean));
        for (var index = 0; index < x.Length; index++)
            Assert.Equal((x[index] - mean) / Math.Sqrt(variance + 1e-3), normed[0, 0, index].item<float>(), 1e-5);
    }

    [Fact]
    public void Dropout_depends_on_sample_and_place_only_and_keeps_the_mean()
    {
        var (first, second, other) = (new float[40_000], new float[40_000], new float[40_000]);
        DropoutMask.Fill(first, 0.25, DropoutMask.Key(1, 2, 0), 17);
        DropoutMask.Fill(second, 0.25, DropoutMask.Key(1, 2, 0), 17);
        DropoutMask.Fill(other, 0.25, DropoutMask.Key(1, 2, 1), 17);
        Assert.Equal(first, second);
        Assert.NotEqual(first, other);
        // Four standard deviations of a mean of 40,000 draws of variance 1/3.
        Assert.Equal(1.0, first.Average(), 4 * Math.Sqrt(1.0 / 3 / 40_000));
    }

    private static UnitPass PassOf(StageModel model)
    {
        var batch = new MicroBatch(0, 0, [0], empty(1, 1), empty(1, 1));
        return new UnitPass(model.Units[1], new PassContext(PassMode.Eval, batch, 1, null, new BackwardFaults()));
    }

    private static (double Value, double Slope) Gelu(double x)
    {
        var root = Math.Sqrt(2 / Math.PI);
        var tanh = Math.Tanh(root * (x + 0.044715 * x * x * x));
        return (0.5 * x * (1 + tanh), 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * root * (1 + 3 * 0.044715 * x * x));
    }

    private static double At(Tensor tensor, int head, int time, int d) => tensor[0, head, time, d].item<float>();

    private static double[] Doubles(Tensor tensor)
    {
        using var wide = tensor.to_type(ScalarType.Float64);
        return MemoryMarshal.Cast<byte, double>(wide.bytes).ToArray();
    }
}
