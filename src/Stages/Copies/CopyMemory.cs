using System.Runtime.InteropServices;

namespace Pipeline.Stages;

/// <summary>
/// Memory of the copies of one rank: what a copy gives back is kept for the next one, of the same size. Memory that is new to a process is
/// cleared by the system at its first use, which can take several times as long as to copy or to send it. Once this is disposed, what comes back later is freed.
/// Thread-safe.
/// </summary>
internal sealed unsafe class CopyMemory : IDisposable
{
    private const int Alignment = 64;
    private readonly Lock _gate = new();
    private byte* _spare;
    private long _spareLength;
    private bool _isClosed;

    /// <summary>Keeps nothing: for copies that nothing follows.</summary>
    internal static CopyMemory None { get; } = new() { _isClosed = true };

    /// <summary>Memory for so many bytes, with whatever lies in it; given back by <see cref="Return"/>.</summary>
    internal byte* Take(long byteCount)
    {
        lock (_gate)
        {
            var spare = _spare;
            _spare = null;
            if (spare != null && _spareLength == byteCount) return spare;
            // Of another size: the ranks are divided otherwise now.
            Free(spare);
        }

        return (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(byteCount, 1), Alignment);
    }

    /// <summary>Takes back what was taken.</summary>
    internal void Return(byte* memory, long byteCount)
    {
        lock (_gate)
        {
            if (_isClosed || _spare != null)
            {
                Free(memory);
                return;
            }

            _spare = memory;
            _spareLength = byteCount;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _isClosed = true;
            Free(_spare);
            _spare = null;
        }
    }

    private static void Free(byte* memory) => NativeMemory.AlignedFree(memory);
}
