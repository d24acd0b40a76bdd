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
    private static readonly string[] s_stochastic = ["bf16 stochastic", "int8 stochastic", "int4 stochastic"];

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

    [Fact]
    public void PowerSgd_sends_a_matrix_of_its_rank_whole()
    {
        // A product of two thin matrices lies in the subspace after a step, but for rounding, r = sums of 60 products. Of the second direction,
        // s of the matrix, the second step leaves no more than s, nor than r / s: at worst √r, where they meet.
        const double Rounding = 60 * 2 * StochasticBound;
        Gen.Select(Spans.Moderate(60), Spans.Moderate(40)).Sample((left, right) =>
        {
            float[] matrix = [.. from row in Enumerable.Range(0, 30) from column in Enumerable.Range(0, 20) select left[row] * right[column] + left[row + 30] * right[column + 20]];
            using var compressor = new PowerSgdCompressor(matrix.Length, [new MatrixRange(0, 30, 20)], 2, 1);
            var norm = Math.Sqrt(matrix.Sum(value => (double)value * value));
            Compress(compressor, matrix);
            var (_, residual) = Compress(compressor, matrix);
            Assert.InRange(Math.Sqrt(residual.Sum(value => (double)value * value)), 0, Math.Sqrt(Rounding) * norm);
        }, iter: 100);
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
        foreach (var name in new[] { "int4 nearest", "top-k 0.01", "bf16 nearest" })
        {
            var compressor = Compressors.Of(name);
            var residual = new float[256];
            var (given, arrived) = (new double[256], new double[256]);
            var payload = new byte[compressor.MaxByteCount(256)];
            var sent = new float[256];
            for (var step = 1; step <= 60; step++)
            {
                float[] gradient = [.. Enumerable.Range(0, 256).Select(index => MathF.Sin(index * 7 + step))];
                var length = ErrorFeedback.Compress(compressor, gradient, residual, payload, new RoundingKey(1, step));
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
