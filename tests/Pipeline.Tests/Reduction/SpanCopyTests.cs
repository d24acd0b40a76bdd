using CsCheck;
using Pipeline.Reduction.Summation;
using Xunit;

namespace Pipeline.Tests.Reduction;

public sealed class SpanCopyTests
{
    [Fact]
    public void A_copy_past_the_caches_is_the_same_bits_wherever_it_begins_and_touches_nothing_else()
    {
        var cases = from start in Gen.Int[0, 20] from values in Gen.Int[0, 200].SelectMany(Spans.Moderate) select (start, values);
        cases.Sample((start, values) =>
        {
            using var memory = new FloatBuffer(start + values.Length + 20);
            memory.Span.Fill(float.NaN);
            SpanCopy.PastCaches(values, memory.Span.Slice(start, values.Length));
            Assert.True(Spans.SameBits(values, memory.Span.Slice(start, values.Length).ToArray()));
            Assert.All(memory.Span[..start].ToArray(), value => Assert.True(float.IsNaN(value)));
            Assert.All(memory.Span[(start + values.Length)..].ToArray(), value => Assert.True(float.IsNaN(value)));
        });
        Assert.Throws<ArgumentException>(() => SpanCopy.PastCaches(new float[3], new float[4]));
    }
}
