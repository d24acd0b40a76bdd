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

    /// <summary>
    /// sum[i] = left[i] + right[i], and former[i] is what sum[i] was: one pass where a sum takes the place of what is still wanted. Sum and former may each be either operand.
    /// </summary>
    /// <exception cref="ArgumentException">The spans differ in length.</exception>
    public static void Exchange(ReadOnlySpan<float> left, ReadOnlySpan<float> right, Span<float> sum, Span<float> former)
    {
        if (left.Length != right.Length || left.Length != sum.Length || left.Length != former.Length)
            throw new ArgumentException($"Spans of {left.Length} and {right.Length} elements cannot be added into {sum.Length} with {former.Length} kept.", nameof(right));
        ref var a = ref MemoryMarshal.GetReference(left);
        ref var b = ref MemoryMarshal.GetReference(right);
        ref var target = ref MemoryMarshal.GetReference(sum);
        ref var kept = ref MemoryMarshal.GetReference(former);
        var index = 0;
        if (Vector512.IsHardwareAccelerated)
        {
            for (; index <= sum.Length - 16; index += 16)
            {
                var (total, before) = (Vector512.LoadUnsafe(ref a, (nuint)index) + Vector512.LoadUnsafe(ref b, (nuint)index), Vector512.LoadUnsafe(ref target, (nuint)index));
                before.StoreUnsafe(ref kept, (nuint)index);
                total.StoreUnsafe(ref target, (nuint)index);
            }
        }

        for (; index <= sum.Length - 8; index += 8)
        {
            var (total, before) = (Vector256.LoadUnsafe(ref a, (nuint)index) + Vector256.LoadUnsafe(ref b, (nuint)index), Vector256.LoadUnsafe(ref target, (nuint)index));
            before.StoreUnsafe(ref kept, (nuint)index);
            total.StoreUnsafe(ref target, (nuint)index);
        }

        for (; index < sum.Length; index++) (former[index], sum[index]) = (sum[index], left[index] + right[index]);
    }
}
