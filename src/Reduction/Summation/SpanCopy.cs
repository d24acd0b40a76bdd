using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Pipeline.Reduction.Summation;

/// <summary>Copies of what is kept and not read soon.</summary>
public static unsafe class SpanCopy
{
    /// <summary>
    /// Copies past the processor's caches where it can: the place is written without being read, and what is in the caches stays there. Worth it where the place is not read soon.
    /// </summary>
    /// <param name="from">What is copied.</param>
    /// <param name="to">The place, elsewhere.</param>
    /// <exception cref="ArgumentException">The spans differ in length.</exception>
    public static void PastCaches(ReadOnlySpan<float> from, Span<float> to)
    {
        if (from.Length != to.Length) throw new ArgumentException($"A span of {from.Length} elements cannot be copied to {to.Length}.", nameof(to));
        fixed (float* source = from, place = to)
        {
            var done = Vector256.IsHardwareAccelerated ? Stream(source, place, to.Length) : 0;
            from[done..].CopyTo(to[done..]);
        }
    }

    /// <summary>How many elements were copied, from the first: whole vectors, and none where the place is not at a vector's boundary.</summary>
    private static int Stream(float* source, float* place, int length)
    {
        if ((nuint)place % (nuint)sizeof(Vector256<float>) != 0) return 0;
        var index = 0;
        for (; index <= length - 2 * Vector256<float>.Count; index += 2 * Vector256<float>.Count)
        {
            var (first, second) = (Vector256.Load(source + index), Vector256.Load(source + index + Vector256<float>.Count));
            first.StoreAlignedNonTemporal(place + index);
            second.StoreAlignedNonTemporal(place + index + Vector256<float>.Count);
        }

        // Other processors see these stores in no order of their own; whoever is told of the copy is told after them.
        if (Sse.IsSupported) Sse.StoreFence();
        return index;
    }
}
