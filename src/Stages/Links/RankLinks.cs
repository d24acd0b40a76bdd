using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// The links of one rank to those of other processes, in one generation: opened when first used, given up with the generation. Owns them.
/// Thread-safe.
/// </summary>
internal sealed class RankLinks : IDisposable
{
    private readonly Lock _gate = new();
    private readonly LinkHub _hub;
    private readonly int _rank;
    private readonly PipelineLayout _layout;
    private readonly ILink?[] _links;
    private readonly StageFrameSink _sink;
    private readonly IDisposable _receiving;
    private bool _isDisposed;

    /// <summary>Takes the rank's frames from now on.</summary>
    internal RankLinks(LinkHub hub, int rank, PipelineLayout layout, IActorRef stage, StageInbox inbox)
    {
        (_hub, _rank, _layout) = (hub, rank, layout);
        _links = new ILink?[layout.Ranks.Count];
        _sink = new StageFrameSink(stage, inbox, AwaitedInputs.Of(rank, layout));
        _receiving = hub.Receive(LinkPurpose.Frames, layout.Run, layout.Generation, rank, _sink);
    }

    /// <summary>Whether a rank's node has a hub.</summary>
    internal bool Reaches(int rank) => _layout.Ranks[rank].LinkAddress.Length > 0;

    /// <summary>Sends a tensor, which stays the caller's.</summary>
    /// <param name="rank">To whom.</param>
    /// <param name="key">Which.</param>
    /// <param name="tensor">The tensor.</param>
    /// <param name="span">The span that it is sent from; 0 for none.</param>
    /// <param name="loan">Told when the memory is no longer read; null where nobody waits for that.</param>
    internal void Send(int rank, FrameKey key, torch.Tensor tensor, ulong span, TensorLoan? loan = null)
    {
        var payload = TensorMemory.ToSend(tensor, loan);
        lock (_gate)
        {
            if (!_isDisposed)
            {
                (_links[rank] ??= Open(rank)).Send(payload.Header(key, span), payload);
                return;
            }
        }

        payload.Dispose();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_isDisposed) return;
            _isDisposed = true;
            _sink.Retire();
            _receiving.Dispose();
            foreach (var link in _links) link?.Dispose();
        }
    }

    private ILink Open(int rank) => _hub.Open(
        LinkAddressText.Parse(_layout.Ranks[rank].LinkAddress),
        new LinkClaim(LinkPurpose.Frames, _layout.Run, _layout.Generation, _rank, rank),
        Choice(_layout.Links));

    private static LinkKindChoice Choice(TensorLinkKind kind) => kind switch
    {
        TensorLinkKind.Unix => LinkKindChoice.Unix,
        TensorLinkKind.Tcp => LinkKindChoice.Tcp,
        TensorLinkKind.Akka => LinkKindChoice.Akka,
        _ => LinkKindChoice.Automatic,
    };
}
