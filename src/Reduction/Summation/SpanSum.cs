using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Pipeline.Reduction.Summation;

/// <summary>
/// Element-wise addition of fp32 spans. Each element is one correctly rounded addition, so the bits depend neither on the width of the
/// vectors nor on where the spans lie.
/// </summary>
public static class SpanSum
{
    /// <summary>sum[i] = left[i] + right[i]; the sum may be either operand.</summary>
    /// <exception cref="ArgumentException">The spans differ in length.</exception>
    public static void Add(ReadOnlySpan<float> left, ReadOnlySpan<float> right, Span<float> sum)
    {
        if (left.Length != right.Length || left.Length != sum.Length)
            throw new ArgumentException($"Spans of {left.Length} and {right.Length} elements cannot be added into {sum.Length}.", nameof(right));
        ref var a = ref MemoryMarshal.GetReference(left);
        ref var b = ref MemoryMarshal.GetReference(right);
        ref var target = ref MemoryMarshal.GetReference(sum);
        var index = 0;
        if (Vector512.IsHardwareAccelerated)
        {
            for (; index <= sum.Length - 16; index += 16)
                (Vector512.LoadUnsafe(ref a, (nuint)index) + Vector512.LoadUnsafe(ref b, (nuint)index)).StoreUnsafe(ref target, (nuint)index);
        }

        for (; index <= sum.Length - 8; index += 8)
            (Vector256.LoadUnsafe(ref a, (nuint)index) + Vector256.LoadUnsafe(ref b, (nuint)index)).StoreUnsafe(ref target, (nuint)index);
        for (; index < sum.Length; index++) sum[index] = left[index] + right[index];
    }
}
