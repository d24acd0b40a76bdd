using System.Runtime.InteropServices;

namespace Pipeline.Reduction.Summation;

/// <summary>
/// fp32 memory outside the collected heap, at a cache line. Owned by whoever made it, until <see cref="Dispose"/>; not thread-safe.
/// New memory is not cleared.
/// </summary>
public sealed unsafe class FloatBuffer : IDisposable
{
    private const int Alignment = 64;
    private float* _memory;

    /// <summary>Takes memory for so many elements.</summary>
    public FloatBuffer(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        Length = length;
        // Whole cache lines, and one even for an empty span, since nothing need not have an address.
        var byteCount = ((nuint)length * sizeof(float) + Alignment) / Alignment * Alignment;
        _memory = (float*)NativeMemory.AlignedAlloc(byteCount, Alignment);
        GC.AddMemoryPressure((long)byteCount);
    }

    /// <summary>Number of elements.</summary>
    public int Length { get; }

    /// <summary>The elements.</summary>
    /// <exception cref="ObjectDisposedException">The memory was given back.</exception>
    public Span<float> Span
    {
        get
        {
            ObjectDisposedException.ThrowIf(_memory is null, this);
            return new Span<float>(_memory, Length);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_memory is null) return;
        NativeMemory.AlignedFree(_memory);
        _memory = null;
        GC.RemoveMemoryPressure((long)(((nuint)Length * sizeof(float) + Alignment) / Alignment * Alignment));
    }
}
