using CsCheck;
using System.Runtime.Intrinsics;
using Pipeline.Model.Layers;
using Pipeline.Model.Units;
using Xunit;
using static TorchSharp.torch;

namespace Pipeline.Tests.Model;

/// <summary>Kernels that read and write bf16, against formulas in double and against the library's own rounding.</summary>
public sealed class Bf16KernelTests
{
    // Half of the last of bf16's 8 significant bits.
    private const double HalfUnit = 1.0 / (1 << 8);

    [Fact]
    public void Rows_widen_and_narrow_as_the_library_rounds() => Gen.UInt.Array[1, 40].Sample(bits =>
    {
        using var scope = NewDisposeScope();
        var values = bits.Select(BitConverter.UInt32BitsToSingle).ToArray();
        var (halves, back) = (new ushort[values.Length], new float[values.Length]);
        Bf16Rows.Narrow(values, halves);
        Bf16Rows.Widen(halves, back);
        var expected = tensor(values).to_type(ScalarType.BFloat16).to_type(ScalarType.Float32).data<float>().ToArray();
        for (var index = 0; index < values.Length; index++)
        {
            if (float.IsNaN(values[index])) Assert.True(float.IsNaN(back[index]));
            else if (!float.IsSubnormal(values[index])) Assert.Equal(BitConverter.SingleToUInt32Bits(expected[index]), BitConverter.SingleToUInt32Bits(back[index]));
        }
    }, iter: 200);

    [Fact]
    public void The_exponential_is_right_to_two_units_and_keeps_what_is_not_finite()
    {
        Gen.Float[-87f, 88f].Sample(x =>
        {
            var expected = Math.Exp(x);
            Assert.Equal(expected, Exponential.Of(Vector256.Create(x)).ToScalar(), expected * 2 / (1 << 23));
        });
        Assert.Equal(0, Of(float.NegativeInfinity));
        Assert.Equal(0, Of(-100));
        Assert.Equal(1, Of(0));
        Assert.Equal(float.PositiveInfinity, Of(100));
        Assert.Equal(float.PositiveInfinity, Of(float.PositiveInfinity));
        Assert.True(float.IsNaN(Of(float.NaN)));

        static float Of(float x) => Exponential.Of(Vector256.Create(x)).ToScalar();
    }

    [Fact]
    public void Gelu_rounds_once() => Gen.Float[-6f, 6f].Array[1, 2100].Sample(values =>
    {
        using var scope = NewDisposeScope();
        var half = tensor(values).to_type(ScalarType.BFloat16).requires_grad_(true);
        var wide = half.detach().to_type(ScalarType.Float32).requires_grad_(true);
        var (result, expected) = (GeluFunction.Apply(half, trains: true, new BackwardFaults()), GeluFunction.Apply(wide, trains: true, new BackwardFaults()));
        result.sum().backward();
        expected.sum().backward();
        Assert.True(result.eq(expected.to_type(ScalarType.BFloat16)).all().item<bool>());
        Assert.True(half.grad!.eq(wide.grad!.to_type(ScalarType.BFloat16)).all().item<bool>());
    }, iter: 10);

    [Fact]
    public void Cross_entropy_is_that_of_the_widened_logits_and_its_gradient_is_rounded_once() =>
        Gen.Select(Gen.Float[-20f, 20f].Array[39, 39], Gen.Int[0, 12].Array[3, 3]).Sample((values, wanted) =>
        {
            using var scope = NewDisposeScope();
            var half = tensor(values, [3, 13]).to_type(ScalarType.BFloat16);
            var wide = half.to_type(ScalarType.Float32);
            var targets = tensor(wanted.Select(target => (long)target).ToArray());
            var loss = CrossEntropy.Of(half, targets, wantsGradient: true).item<double>();
            Assert.Equal(CrossEntropy.Of(wide, targets, wantsGradient: true).item<double>(), loss);
            Assert.True(half.eq(wide.to_type(ScalarType.BFloat16)).all().item<bool>());
        }, iter: 50);

    [Fact]
    public void A_logit_that_is_not_a_number_gives_a_loss_that_is_not_finite()
    {
        using var scope = NewDisposeScope();
        foreach (var type in new[] { ScalarType.Float32, ScalarType.BFloat16 })
        {
            var logits = zeros([2, 20], type);
            logits[1, 3] = tensor(float.NaN).to_type(type);
            Assert.False(double.IsFinite(CrossEntropy.Of(logits, zeros(2, ScalarType.Int64), wantsGradient: true).item<double>()));
        }
    }

    [Fact]
    public void Blocked_attention_and_its_gradients_equal_the_library_in_fp64()
    {
        using var scope = NewDisposeScope();
        // More than one block of rows, and a last block that is not full.
        var leaves = Enumerable.Range(0, 3).Select(index => Noise.Normal((ulong)index, 1, 2, 150, 8).to_type(ScalarType.BFloat16).requires_grad_(true)).ToArray();
        var wide = leaves.Select(leaf => leaf.detach().to_type(ScalarType.Float64).requires_grad_(true)).ToArray();
        var weight = Noise.Normal(3, 1, 2, 150, 8).to_type(ScalarType.BFloat16);
        var mixed = BlockedAttentionFunction.Apply(leaves[0], leaves[1], leaves[2], trains: true, new BackwardFaults());
        var expected = nn.functional.scaled_dot_product_attention(wide[0], wide[1], wide[2], is_casual: true);
        mixed.mul(weight).sum().backward();
        expected.mul(weight.to_type(ScalarType.Float64)).sum().backward();
        AssertNear(expected, mixed);
        for (var index = 0; index < 3; index++) AssertNear(wide[index].grad!, leaves[index].grad!);
    }

    // Scores, probabilities and each product are rounded once to bf16; of at most six roundings on a path each adds half a unit of the
    // largest element at most.
    private static void AssertNear(Tensor expected, Tensor found) =>
        Assert.True(found.sub(expected).abs().max().item<double>() <= 6 * HalfUnit * expected.abs().max().item<double>());
}
