using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// Something that was sent from where it lies: until its owner changes that memory it is all that is kept, then a tensor of its own. Owns a view of the
/// memory, later the tensor. Not thread-safe, but for <see cref="NewPlace"/>: the links that keep it guard it.
/// </summary>
internal sealed record KeptLoan : KeptMessage
{
    private readonly KeptMemory _memory;
    private torch.Tensor? _tensor;
    private bool _isLent = true;
    private bool _isShared;

    /// <param name="rank">Whom it was sent to.</param>
    /// <param name="key">Which it is.</param>
    /// <param name="view">Names the memory; owned from now on.</param>
    /// <param name="memory">Where a tensor of its own comes from and goes to.</param>
    internal KeptLoan(int rank, FrameKey key, torch.Tensor view, KeptMemory memory) : base(rank) =>
        (Key, _tensor, _memory, ByteCount, Length) = (key, view, memory, view.numel() * view.element_size(), view.numel());

    /// <summary>Which it is.</summary>
    internal FrameKey Key { get; }

    /// <summary>Bytes of its elements.</summary>
    internal long ByteCount { get; }

    /// <summary>Its elements, of fp32.</summary>
    private long Length { get; }

    /// <summary>Memory for what it holds, owned by the caller until it is given to <see cref="Replace"/>. Any thread.</summary>
    internal torch.Tensor NewPlace() => _memory.Take(Length);

    /// <summary>
    /// What to send again, owned by the caller; null once it was forgotten, since nobody lacks it any more. While the memory is its owner's that is a copy: its owner waits for nothing that is sent
    /// again. To be asked for when it is to be sent, not before: a rank's whole gradient may be lent.
    /// </summary>
    internal KeptTensor? Again()
    {
        if (_tensor is null) return null;
        if (_isLent) return new KeptTensor(Rank, Key, KeptMessages.CopyOf(_tensor), AlreadyDone.Instance);
        _isShared = true;
        return new KeptTensor(Rank, Key, KeptMessages.Alias(_tensor), AlreadyDone.Instance);
    }

    /// <summary>Keeps a tensor instead of the memory; takes ownership.</summary>
    /// <param name="own">Of <see cref="NewPlace"/>; holds what the memory held when it was sent.</param>
    internal void Replace(torch.Tensor own)
    {
        if (_tensor is not { } view)
        {
            // Forgotten meanwhile.
            _memory.Return(own);
            return;
        }

        view.Dispose();
        (_tensor, _isLent) = (own, false);
    }

    /// <summary>Nothing is kept any longer.</summary>
    internal void Free()
    {
        // Who sends it again still reads its memory.
        if (_isLent || _isShared) _tensor?.Dispose();
        else if (_tensor is { } own) _memory.Return(own);
        _tensor = null;
    }
}
