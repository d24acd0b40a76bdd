namespace Pipeline.Stages;

/// <summary>
/// Memory of the copies of one rank: what a copy gives back is kept for the next one, of the same size. Memory that is new to a process is
/// cleared by the system at its first use, which can take several times as long as to copy or to send it. Once this is disposed, what comes back later is freed.
/// Thread-safe.
/// </summary>
/// <param name="lends">Whether other processes of this machine shall be able to map it.</param>
internal sealed class CopyMemory(bool lends = false) : IDisposable
{
    private readonly Lock _gate = new();
    private CopyBlock? _spare;
    private bool _isClosed;

    /// <summary>Keeps nothing: for copies that nothing follows.</summary>
    internal static CopyMemory None { get; } = new() { _isClosed = true };

    /// <summary>Memory for so many bytes, with whatever lies in it; given back by <see cref="Return"/>.</summary>
    internal CopyBlock Take(long byteCount)
    {
        lock (_gate)
        {
            var spare = _spare;
            _spare = null;
            if (spare?.ByteCount == byteCount)
            {
                (spare as LendableBlock)?.UseAgain();
                return spare;
            }

            // Of another size: the ranks are divided otherwise now.
            spare?.Free();
        }

        return (lends ? LendableBlock.TryAllocate(byteCount) : null) ?? (CopyBlock)PrivateBlock.Allocate(byteCount);
    }

    /// <summary>Takes back what was taken.</summary>
    internal void Return(CopyBlock block)
    {
        lock (_gate)
        {
            if (_isClosed || _spare is not null || !block.IsReusable) block.Free();
            else _spare = block;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _isClosed = true;
            _spare?.Free();
            _spare = null;
        }
    }
}
