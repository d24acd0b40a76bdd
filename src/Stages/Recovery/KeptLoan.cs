using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// Something that was sent from where it lies: until its owner changes that memory it is all that is kept, then a tensor of its own. Owns a view of the
/// memory, later the tensor. Not thread-safe: the links that keep it guard it.
/// </summary>
internal sealed record KeptLoan : KeptMessage
{
    private torch.Tensor? _tensor;
    private bool _isLent = true;

    /// <param name="rank">Whom it was sent to.</param>
    /// <param name="key">Which it is.</param>
    /// <param name="view">Names the memory; owned from now on.</param>
    internal KeptLoan(int rank, FrameKey key, torch.Tensor view) : base(rank) => (Key, _tensor, ByteCount) = (key, view, view.numel() * view.element_size());

    /// <summary>Which it is.</summary>
    internal FrameKey Key { get; }

    /// <summary>Bytes of its elements.</summary>
    internal long ByteCount { get; }

    /// <summary>
    /// What to send again, owned by the caller; null once it was forgotten, since nobody lacks it any more. While the memory is its owner's that is a copy: its owner waits for nothing that is sent
    /// again. To be asked for when it is to be sent, not before: a rank's whole gradient may be lent.
    /// </summary>
    internal KeptTensor? Again() => _tensor is null ? null : new KeptTensor(Rank, Key, _isLent ? KeptMessages.CopyOf(_tensor) : KeptMessages.Alias(_tensor), AlreadyDone.Instance);

    /// <summary>Keeps a tensor instead of the memory; takes ownership.</summary>
    /// <param name="kept">What is kept; null where nothing was.</param>
    /// <param name="own">Holds what the memory held when it was sent.</param>
    internal static void Replace(KeptLoan? kept, torch.Tensor own)
    {
        if (kept?._tensor is not { } view)
        {
            // Nothing is kept, or nothing any longer.
            own.Dispose();
            return;
        }

        view.Dispose();
        (kept._tensor, kept._isLent) = (own, false);
    }

    /// <summary>Nothing is kept any longer.</summary>
    internal void Free()
    {
        _tensor?.Dispose();
        _tensor = null;
    }
}
