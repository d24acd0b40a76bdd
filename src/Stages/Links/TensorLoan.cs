using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// Memory that a link sends from where it lies. Its owner leaves it as it is until <see cref="IsOver"/>, or, where it knows by other means that the receiver has all of it, until
/// <see cref="IsSent"/>; and what is kept of it for a loss reads it until that has a tensor of its own (<see cref="IStageLinks.Settle"/>), however the link stands. Ended by a thread of the
/// link or of who disposes that; looked at by any thread.
/// </summary>
/// <param name="ended">Called once, when the link no longer reads the memory; must not block.</param>
/// <param name="kept">What is kept of it; null where nothing is.</param>
/// <param name="isAwaited">Whether the end is waited for, so that the receiver is asked for its receipt.</param>
internal sealed class TensorLoan(Action ended, KeptLoan? kept = null, bool isAwaited = true)
{
    private int _isOver;
    private int _isSent;

    /// <summary>Whether the end is waited for.</summary>
    internal bool IsAwaited => isAwaited;

    /// <summary>
    /// Whether the memory may be changed by whoever knows that the receiver has it: the link has sent all of it, and would read it again only if the receiver did not have it.
    /// </summary>
    internal bool IsSent => IsOver || Volatile.Read(ref _isSent) != 0;

    /// <summary>Whether the link no longer reads the memory: the receiver has it, or the link was given up.</summary>
    internal bool IsOver => Volatile.Read(ref _isOver) != 0;

    /// <summary>What is kept of it; null where nothing is.</summary>
    internal KeptLoan? Kept => kept;

    /// <summary>Keeps a tensor instead of the memory, if anything is kept; takes ownership. Under the lock of the links that keep it.</summary>
    internal void Keep(torch.Tensor own)
    {
        if (kept is null) own.Dispose();
        else kept.Replace(own);
    }

    /// <summary>The link has sent all of the memory.</summary>
    internal void Sent() => Volatile.Write(ref _isSent, 1);

    /// <summary>The link no longer reads the memory.</summary>
    internal void End()
    {
        if (Interlocked.Exchange(ref _isOver, 1) == 0) ended();
    }
}
