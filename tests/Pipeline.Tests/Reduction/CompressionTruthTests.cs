using CsCheck;
using Pipeline.Reduction.Compression;
using Xunit;

namespace Pipeline.Tests.Reduction;

/// <summary>Nothing is lost in compression but what the residual holds.</summary>
public sealed class CompressionTruthTests
{
    /// <summary>Half a unit in the last place of the larger operand: one rounded subtraction.</summary>
    private const double StochasticBound = 1.0 / (1 << 24);

    /// <summary>The bound of the issue: that of a subtraction, doubled for the rounding of the product that is subtracted.</summary>
    private const double PowerSgdBound = 1.0 / (1 << 23);

    private static readonly string[] s_exact = ["none", "bf16 nearest", "int8 nearest", "int4 nearest", "top-k 0.01", "top-k 0.3"];
    private static readonly string[] s_stochastic = ["bf16 stochastic", "int8 stochastic", "int4 stochastic", "one-bit"];

    public static TheoryData<string> Exact => new(s_exact);

    public static TheoryData<string> Stochastic => new(s_stochastic);

    public static TheoryData<string> All => new([.. s_exact, .. s_stochastic]);

    [Theory]
    [MemberData(nameof(Exact))]
    public void Residual_plus_sent_is_the_input_exactly(string name)
    {
        Spans.Any.Sample(input =>
        {
            var (sent, residual) = Compress(Compressors.Of(name), input);
            for (var index = 0; index < input.Length; index++) Assert.Equal(input[index], (double)residual[index] + sent[index]);
        }, iter: 1000);
    }

    [Theory]
    [MemberData(nameof(Stochastic))]
    public void Residual_plus_sent_is_the_input_within_one_rounding(string name)
    {
        Spans.Any.Sample(input =>
        {
            var (sent, residual) = Compress(Compressors.Of(name), input);
            for (var index = 0; index < input.Length; index++)
            {
                var bound = StochasticBound * Math.Max(Math.Abs((double)sent[index]), Math.Abs((double)residual[index]));
                Assert.InRange(Math.Abs((double)residual[index] + sent[index] - input[index]), 0, bound);
            }
        }, iter: 1000);
    }

    [Fact]
    public void PowerSgd_keeps_residual_plus_sent_within_its_bound_and_what_is_no_matrix_exactly()
    {
        var cases = from rows in Gen.Int[1, 24]
                    from columns in Gen.Int[1, 40]
                    from rank in Gen.Int[1, 4]
                    from input in Spans.Moderate(7 + rows * columns + 5)
                    select (rows, columns, rank, input);
        cases.Sample((rows, columns, rank, input) =>
        {
            using var compressor = new PowerSgdCompressor(input.Length, [new MatrixRange(7, rows, columns)], rank, 3);
            for (var step = 0; step < 2; step++)
            {
                var (sent, residual) = Compress(compressor, input);
                for (var index = 0; index < input.Length; index++)
                {
                    var isMatrix = index >= 7 && index < 7 + rows * columns;
                    var bound = isMatrix ? PowerSgdBound * Math.Max(Math.Abs((double)sent[index]), Math.Abs((double)input[index])) : 0;
                    Assert.InRange(Math.Abs((double)residual[index] + sent[index] - input[index]), 0, bound);
                }
            }
        }, iter: 500);
    }

    /// <summary>
    /// M = L Rᵀ of rank 2 with singular values σ1 and σ2 = s·σ1. In exact arithmetic one step of subspace iteration finds its column space, and the
    /// residual is 0. In fp32 each product of the iteration errs by at most r = γ(60) of its operands' norms, twice. Let κ be how much more of the
    /// second right direction than of the first lies in the first random column. After the first step the second column of P has a part α = min(1, s·κ) in the first
    /// left direction; the second step makes of it a vector of length σ1·(σ1·α + σ2), erring by r of that, of which Gram–Schmidt leaves σ2²: the column
    /// leans out of the space by r·(σ1·α + σ2)·σ1 ÷ σ2², and of σ2 that part is lost: r·(α ÷ s + 1)·σ1 = r·(1 + min(κ, 1 ÷ s))·σ1. More than σ2 = s·σ1 cannot be lost:
    /// at worst, where the two meet, √r·σ1. Orthogonalising twice mends what Gram–Schmidt itself errs, not what it is given.
    /// </summary>
    [Fact]
    public void PowerSgd_sends_a_matrix_of_its_rank_whole()
    {
        const int Rows = 30;
        const int Columns = 20;
        const double Rounding = 60 * 2 * StochasticBound;
        Gen.Select(Spans.Moderate(2 * Rows), Spans.Moderate(2 * Columns)).Sample((left, right) =>
        {
            float[] matrix = [.. from row in Enumerable.Range(0, Rows) from column in Enumerable.Range(0, Columns) select left[row] * right[column] + left[row + Rows] * right[column + Columns]];
            using var compressor = new PowerSgdCompressor(matrix.Length, [new MatrixRange(0, Rows, Columns)], 2, 1);
            var (largest, ratio, skew) = Directions(left, right, compressor.WarmStart[..Columns].ToArray());
            Compress(compressor, matrix);
            var (_, residual) = Compress(compressor, matrix);
            var lost = Math.Sqrt(residual.Sum(value => (double)value * value));
            Assert.InRange(lost, 0, largest * Rounding * (1 + Math.Min(skew, 1 / ratio)));
            Assert.InRange(lost, 0, largest * Math.Sqrt(Rounding));
        }, iter: 1000);
    }

    /// <summary>The larger singular value of L Rᵀ, the smaller one's share of it, and how much more of the second right direction than of the first a vector has.</summary>
    private static (double Largest, double Ratio, double Skew) Directions(float[] left, float[] right, float[] vector)
    {
        var (l, r) = (Gram(left), Gram(right));
        // Eigenvalues of (LᵀL)(RᵀR), 2 × 2.
        var (a, b, c, d) = (l.A * r.A + l.B * r.B, l.A * r.B + l.B * r.D, l.B * r.A + l.D * r.B, l.B * r.B + l.D * r.D);
        var (trace, determinant) = (a + d, (l.A * l.D - l.B * l.B) * (r.A * r.D - r.B * r.B));
        var first = (trace + Math.Sqrt(Math.Max(0, trace * trace - 4 * determinant))) / 2;
        // The first right direction is R w with w an eigenvector; the second is what of R's columns is orthogonal to it.
        var (x, y) = Math.Abs(b) > Math.Abs(c) ? (b, first - a) : (first - d, c);
        var half = right.Length / 2;
        var v1 = Unit([.. Enumerable.Range(0, half).Select(index => right[index] * x + right[index + half] * y)]);
        double[] other = [.. Enumerable.Range(0, half).Select(index => (double)right[index] * -y + right[index + half] * x)];
        var v2 = Unit([.. other.Zip(v1, (value, along) => value - along * Dot(other, v1))]);
        double[] wide = [.. vector.Select(value => (double)value)];
        return (Math.Sqrt(first), Math.Sqrt(Math.Max(determinant, 0)) / first, Math.Abs(Dot(wide, v2)) / Math.Abs(Dot(wide, v1)));

        static (double A, double B, double D) Gram(float[] columns)
        {
            var (one, two) = (columns.AsSpan(0, columns.Length / 2).ToArray().Select(value => (double)value).ToArray(), columns.AsSpan(columns.Length / 2).ToArray().Select(value => (double)value).ToArray());
            return (Dot(one, one), Dot(one, two), Dot(two, two));
        }

        static double[] Unit(double[] values) => [.. values.Select(value => value / Math.Sqrt(Dot(values, values)))];

        static double Dot(double[] one, double[] two) => one.Zip(two, (x, y) => x * y).Sum();
    }

    [Theory]
    [MemberData(nameof(All))]
    public void In_place_and_without_a_residual_the_bytes_are_the_same(string name)
    {
        Spans.Any.Sample(input =>
        {
            var compressor = Compressors.Of(name);
            var key = new RoundingKey(5, 9);
            var (apart, inPlace, without) = (new byte[compressor.MaxByteCount(input.Length)], new byte[compressor.MaxByteCount(input.Length)], new byte[compressor.MaxByteCount(input.Length)]);
            var residual = new float[input.Length];
            var length = compressor.Compress(input, residual, apart, key);
            var copy = input.ToArray();
            Assert.Equal(length, compressor.Compress(copy, copy, inPlace, key));
            Assert.Equal(length, compressor.Compress(input, default, without, key));
            Assert.True(apart.AsSpan(0, length).SequenceEqual(inPlace.AsSpan(0, length)));
            Assert.True(apart.AsSpan(0, length).SequenceEqual(without.AsSpan(0, length)));
            Assert.True(Spans.SameBits(residual, copy));
        }, iter: 300);
    }

    [Theory]
    [MemberData(nameof(All))]
    public void What_is_not_finite_stays_so(string name)
    {
        foreach (var value in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity, BitConverter.UInt32BitsToSingle(0x7F800001) })
        {
            var input = new float[300];
            input[170] = value;
            var (sent, _) = Compress(Compressors.Of(name), input);
            Assert.False(float.IsFinite(sent[170]));
        }
    }

    [Theory]
    [InlineData("bf16 stochastic")]
    [InlineData("int8 stochastic")]
    [InlineData("int4 stochastic")]
    public void Stochastic_rounding_is_unbiased_and_the_same_in_every_replay(string name)
    {
        const int Count = 4096;
        var input = new float[128];
        for (var index = 0; index < input.Length; index++) input[index] = MathF.Sin(index + 0.3f);
        var sums = new double[input.Length];
        for (var step = 0; step < Count; step++)
        {
            var sent = Sent(Compressors.Of(name), input, new RoundingKey(11, step));
            Assert.True(Spans.SameBits(sent, Sent(Compressors.Of(name), input, new RoundingKey(11, step))));
            for (var index = 0; index < sums.Length; index++) sums[index] += sent[index];
        }

        // A level is at most 1/7 wide, its rounding has at most half of that as deviation; six deviations of the mean of 4,096.
        for (var index = 0; index < sums.Length; index++) Assert.InRange(sums[index] / Count - input[index], -6.0 / 14 / 64, 6.0 / 14 / 64);
    }

    [Fact]
    public void Error_feedback_loses_nothing_for_good()
    {
        foreach (var name in new[] { "int4 nearest", "top-k 0.01", "bf16 nearest", "one-bit" })
        {
            var compressor = Compressors.Of(name);
            var residual = new float[256];
            var (given, arrived) = (new double[256], new double[256]);
            var payload = new byte[compressor.MaxByteCount(256)];
            var sent = new float[256];
            for (var step = 1; step <= 60; step++)
            {
                float[] gradient = [.. Enumerable.Range(0, 256).Select(index => MathF.Sin(index * 7 + step))];
                var length = compressor.CompressWithFeedback(gradient, residual, payload, new RoundingKey(1, step));
                compressor.Decompress(payload.AsSpan(0, length), sent);
                for (var index = 0; index < sent.Length; index++) (given[index], arrived[index]) = (given[index] + gradient[index], arrived[index] + sent[index]);
            }

            // Each step adds one rounded addition, of values that stay below 60.
            for (var index = 0; index < sent.Length; index++) Assert.InRange(given[index] - arrived[index] - residual[index], -60 * 60 * StochasticBound, 60 * 60 * StochasticBound);
        }
    }

    private static (float[] Sent, float[] Residual) Compress(ICompressor compressor, float[] input)
    {
        var residual = new float[input.Length];
        var payload = new byte[compressor.MaxByteCount(input.Length)];
        var length = compressor.Compress(input, residual, payload, new RoundingKey(5, 9));
        var sent = new float[input.Length];
        compressor.Decompress(payload.AsSpan(0, length), sent);
        return (sent, residual);
    }

    private static float[] Sent(ICompressor compressor, float[] input, RoundingKey key)
    {
        var payload = new byte[compressor.MaxByteCount(input.Length)];
        var length = compressor.Compress(input, default, payload, key);
        var sent = new float[input.Length];
        compressor.Decompress(payload.AsSpan(0, length), sent);
        return sent;
    }
}
