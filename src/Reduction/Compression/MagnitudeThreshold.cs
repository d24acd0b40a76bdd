using System.Buffers;
using System.Runtime.InteropServices;

namespace Pipeline.Reduction.Compression;

/// <summary>Which elements are the k of largest magnitude.</summary>
/// <param name="Bits">Magnitudes above these bits belong to them.</param>
/// <param name="TieCount">Of those that are equal so many belong to them, the first ones.</param>
internal readonly record struct MagnitudeThreshold(uint Bits, int TieCount)
{
    /// <summary>The bits of a magnitude.</summary>
    internal const uint Mask = int.MaxValue;

    // 8 bits of exponent and 3 of mantissa split gradients finely; what remains in one class is split twice more.
    private const int FirstShift = 20;
    private const int ClassCount = 1 << 11;

    // A prime: rows of matrices have other lengths, and a sample of all columns is wanted.
    private const int SampleStride = 61;
    private const int LargestSample = 1 << 14;
    private const int SmallestSampled = 1 << 15;

    // Of the sample's numbers of elements above a limit four deviations are allowed for.
    private const double Deviations = 4;

    /// <summary>Finds the threshold.</summary>
    /// <param name="values">Elements; NaN counts as the largest magnitude.</param>
    /// <param name="count">k, from 1 to the number of elements.</param>
    internal static MagnitudeThreshold Of(ReadOnlySpan<float> values, int count)
    {
        var bits = MemoryMarshal.Cast<float, uint>(values);
        return AmongLargest(bits, count) ?? AmongAll(bits, count);
    }

    /// <summary>
    /// The threshold among those that lie above a floor, which a sample puts below the k-th: few, found in one vectorised pass. Null where too few or too many do, or k is no small part of
    /// all. It is that among all: what is left out is smaller.
    /// </summary>
    internal static MagnitudeThreshold? AmongLargest(ReadOnlySpan<uint> bits, int count)
    {
        if (bits.Length < SmallestSampled || count > bits.Length / 8) return null;
        var stride = Math.Max(SampleStride, (bits.Length / LargestSample) | 1);
        var expected = (double)count / stride;
        var rank = (int)Math.Min(bits.Length / stride, Math.Ceiling(expected + Deviations * Math.Sqrt(expected) + Deviations));
        var floor = OfSample(bits, stride, rank);
        var room = Math.Min(bits.Length, 3 * rank * stride) + LargestMagnitudes.Slack;
        var largest = ArrayPool<uint>.Shared.Rent(room);
        try
        {
            var found = LargestMagnitudes.Gather(bits, floor, largest.AsSpan(0, room));
            return found < count ? null : AmongAll(largest.AsSpan(0, found), count);
        }
        finally
        {
            ArrayPool<uint>.Shared.Return(largest);
        }
    }

    /// <summary>The magnitude at a rank, from the largest, of every so many elements.</summary>
    private static uint OfSample(ReadOnlySpan<uint> bits, int stride, int rank)
    {
        var sample = ArrayPool<uint>.Shared.Rent(bits.Length / stride);
        try
        {
            var count = bits.Length / stride;
            for (var index = 0; index < count; index++) sample[index] = bits[index * stride];
            return AmongAll(sample.AsSpan(0, count), rank).Bits;
        }
        finally
        {
            ArrayPool<uint>.Shared.Return(sample);
        }
    }

    /// <summary>
    /// Finds the threshold by radix selection: magnitudes order as integers, and each pass counts one group of their bits. One pass over
    /// all elements, two over those that share the class in which the k-th lies.
    /// </summary>
    internal static MagnitudeThreshold AmongAll(ReadOnlySpan<uint> bits, int count)
    {
        var (first, wanted) = FirstClass(bits, count);
        var candidates = ArrayPool<uint>.Shared.Rent(bits.Length);
        try
        {
            var found = Candidates(bits, first, candidates);
            return Refine(candidates.AsSpan(0, found), first, wanted);
        }
        finally
        {
            ArrayPool<uint>.Shared.Return(candidates);
        }
    }

    private static (uint Class, int Wanted) FirstClass(ReadOnlySpan<uint> bits, int count)
    {
        // Four tables: neighbouring elements often fall into one class, and a table would wait for its own last addition.
        Span<int> counts = stackalloc int[4 * ClassCount];
        counts.Clear();
        var index = 0;
        for (; index <= bits.Length - 4; index += 4)
        {
            counts[(int)((bits[index] & Mask) >> FirstShift)]++;
            counts[ClassCount + (int)((bits[index + 1] & Mask) >> FirstShift)]++;
            counts[2 * ClassCount + (int)((bits[index + 2] & Mask) >> FirstShift)]++;
            counts[3 * ClassCount + (int)((bits[index + 3] & Mask) >> FirstShift)]++;
        }

        for (; index < bits.Length; index++) counts[(int)((bits[index] & Mask) >> FirstShift)]++;
        for (var place = 0; place < ClassCount; place++) counts[place] += counts[place + ClassCount] + counts[place + 2 * ClassCount] + counts[place + 3 * ClassCount];
        return Select(counts[..ClassCount], count);
    }

    private static int Candidates(ReadOnlySpan<uint> bits, uint wantedClass, Span<uint> candidates)
    {
        var found = 0;
        foreach (var value in bits)
        {
            // Written in any case and kept by moving on: no branch to mispredict.
            candidates[found] = value & Mask;
            found += (value & Mask) >> FirstShift == wantedClass ? 1 : 0;
        }

        return found;
    }

    private static MagnitudeThreshold Refine(Span<uint> candidates, uint prefix, int wanted)
    {
        Span<int> counts = stackalloc int[ClassCount];
        foreach (var (shift, width) in new[] { (9, 11), (0, 9) })
        {
            counts.Clear();
            var mask = (1u << width) - 1;
            foreach (var value in candidates) counts[(int)((value >> shift) & mask)]++;
            (var digit, wanted) = Select(counts, wanted);
            prefix = (prefix << width) | digit;
            var kept = 0;
            foreach (var value in candidates)
            {
                candidates[kept] = value;
                kept += ((value >> shift) & mask) == digit ? 1 : 0;
            }

            candidates = candidates[..kept];
        }

        return new MagnitudeThreshold(prefix, wanted);
    }

    /// <summary>The class in which the k-th largest lies, and its place from the largest of that class, from 1.</summary>
    private static (uint Class, int Wanted) Select(ReadOnlySpan<int> counts, int wanted)
    {
        var place = counts.Length - 1;
        for (; wanted > counts[place]; place--) wanted -= counts[place];
        return ((uint)place, wanted);
    }
}
