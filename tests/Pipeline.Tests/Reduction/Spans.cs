using CsCheck;

namespace Pipeline.Tests.Reduction;

/// <summary>Spans as gradients are, and as they are not: many magnitudes, zeros, ties, denormal numbers, the ends of the range.</summary>
internal static class Spans
{
    private static readonly float[] s_special = [0f, -0f, 1f, -1f, 0.5f, float.Epsilon, -float.MaxValue, float.MaxValue, 127.5f, 1.5f];

    private static readonly Gen<float> Ordinary = Gen.Double[-1, 1].Select(value => (float)value);

    private static readonly Gen<float> Element = Gen.Frequency(
        (6, Ordinary),
        (3, Gen.Select(Ordinary, Gen.Int[-140, 120], (value, exponent) => MathF.ScaleB(value, exponent))),
        (1, Gen.Int[0, s_special.Length - 1].Select(index => s_special[index])));

    /// <summary>Blocks of one magnitude and blocks of many, of any length.</summary>
    internal static readonly Gen<float[]> Any = Gen.OneOf(Element.Array[0, 700], Ordinary.Array[0, 700], Gen.Select(Ordinary.Array[1, 400], Gen.Int[-140, 120],
        (values, exponent) => values.Select(value => MathF.ScaleB(value, exponent)).ToArray()));

    /// <summary>Spans of one length that do not overflow when some are added.</summary>
    internal static Gen<float[]> Moderate(int length) => Ordinary.Array[length];

    /// <summary>Equal bits, not merely equal values.</summary>
    internal static bool SameBits(ReadOnlySpan<float> left, ReadOnlySpan<float> right) =>
        System.Runtime.InteropServices.MemoryMarshal.AsBytes(left).SequenceEqual(System.Runtime.InteropServices.MemoryMarshal.AsBytes(right));
}
