using System.Buffers;
using System.Numerics;
using System.Runtime.InteropServices;
using Pipeline.Protocol.Frames;

namespace Pipeline.Protocol.Links;

/// <summary>
/// Native memory for received frames, aligned to 64 bytes and used again: fresh memory for each frame costs more in page faults than all
/// else on its way. For whoever has no tensor to receive into. Thread-safe.
/// </summary>
/// <param name="maxKeptBytes">Most that lies unused; what comes back beyond it is freed.</param>
public sealed class FrameBufferPool(long maxKeptBytes) : IDisposable
{
    private const int MinSizeBits = 12;

    private readonly Lock _gate = new();
    private readonly Stack<nint>[] _free = [.. Enumerable.Range(0, 32).Select(_ => new Stack<nint>())];
    private long _keptBytes;
    private bool _isDisposed;

    /// <summary>Memory for a frame; disposing gives it back.</summary>
    public IFrameBuffer Rent(FrameHeader header)
    {
        var bits = Math.Max(MinSizeBits, BitOperations.Log2((ulong)Math.Max(1, header.BlockLength - 1)) + 1);
        lock (_gate)
        {
            if (_free[bits].TryPop(out var block))
            {
                _keptBytes -= 1L << bits;
                return new Buffer(this, header, block, bits);
            }
        }

        return new Buffer(this, header, Allocate(bits), bits);
    }

    /// <summary>Frees what lies unused; what is rented is freed when it comes back.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            foreach (var stack in _free)
            {
                while (stack.TryPop(out var block)) Free(block);
            }
        }
    }

    private static unsafe nint Allocate(int bits) => (nint)NativeMemory.AlignedAlloc((nuint)1 << bits, TensorFrame.Alignment);

    private static unsafe void Free(nint block) => NativeMemory.AlignedFree((void*)block);

    private void Return(nint block, int bits)
    {
        lock (_gate)
        {
            if (!_isDisposed && _keptBytes + (1L << bits) <= maxKeptBytes)
            {
                _keptBytes += 1L << bits;
                _free[bits].Push(block);
                return;
            }
        }

        Free(block);
    }

    private sealed class Buffer : MemoryManager<byte>, IFrameBuffer
    {
        private readonly FrameBufferPool _pool;
        private readonly FrameHeader _header;
        private readonly int _bits;
        private nint _block;

        internal Buffer(FrameBufferPool pool, FrameHeader header, nint block, int bits) => (_pool, _header, _block, _bits) = (pool, header, block, bits);

        public Memory<byte> BytesOf(int tensor)
        {
            long start = 0;
            for (var before = 0; before < tensor; before++) start = TensorFrame.Aligned(start + _header.Tensors[before].ByteCount);
            return Memory.Slice((int)start, (int)_header.Tensors[tensor].ByteCount);
        }

        public override unsafe Span<byte> GetSpan()
        {
            ObjectDisposedException.ThrowIf(_block == 0, this);
            return new Span<byte>((void*)_block, (int)Math.Min(1L << _bits, int.MaxValue));
        }

        public override unsafe MemoryHandle Pin(int elementIndex = 0) => new((byte*)_block + elementIndex, pinnable: this);

        public override void Unpin()
        {
        }

        public void Dispose() => Dispose(true);

        protected override void Dispose(bool disposing)
        {
            var block = Interlocked.Exchange(ref _block, 0);
            if (block != 0) _pool.Return(block, _bits);
        }
    }
}
