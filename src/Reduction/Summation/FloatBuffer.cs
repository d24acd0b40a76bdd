using System.Runtime.CompilerServices;
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

    private FloatBuffer(float* memory, int length)
    {
        _memory = memory;
        Length = length;
        IsLent = true;
    }

    /// <summary>Number of elements.</summary>
    public int Length { get; }

    /// <summary>Whether the memory is somebody else's, who may read it: nobody writes it through this.</summary>
    public bool IsLent { get; }

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

    /// <summary>A look at memory that stays its owner's.</summary>
    /// <param name="native">Memory outside the collected heap, which stays where and as it is for as long as this is used.</param>
    public static FloatBuffer Lent(ReadOnlySpan<float> native) => new((float*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(native)), native.Length);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (IsLent || _memory is null) return;
        NativeMemory.AlignedFree(_memory);
        _memory = null;
        GC.RemoveMemoryPressure((long)(((nuint)Length * sizeof(float) + Alignment) / Alignment * Alignment));
    }
}
