using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>Where everything lies in one generation, as seen from one rank: stamps what is sent with it. Owns the links to other processes. Any thread.</summary>
internal sealed class LinkTable : IDisposable
{
    private readonly Generation _generation;
    private readonly IActorRef _coordinator;
    private readonly IActorRef[] _ranks;
    private readonly Func<int, IActorRef> _resolve;
    private readonly bool[] _isNear;
    private readonly RankLinks? _links;

    /// <param name="rank">Who sends.</param>
    /// <param name="layout">Where the ranks lie.</param>
    /// <param name="coordinator">Who is told.</param>
    /// <param name="resolve">Finds an actor by its path.</param>
    /// <param name="links">Links to other processes, owned from now on; null where tensors travel as messages.</param>
    internal LinkTable(int rank, PipelineLayout layout, IActorRef coordinator, Func<string, IActorRef> resolve, RankLinks? links = null)
    {
        _links = links;
        _generation = layout.Generation;
        _coordinator = coordinator;
        IsSpread = layout.Ranks.Any(place => place.Node != layout.Ranks[rank].Node) || layout.Links == TensorLinkKind.Frames;
        TakesCopies = layout.ProtectionNow.Kind == ProtectionKind.Disk || (layout.ProtectionNow.Kind == ProtectionKind.Memory && layout.Ranks[rank].Holder is not null);
        _resolve = other => resolve(layout.Ranks[other].StagePath);
        _ranks = [.. layout.Ranks.Select((_, other) => _resolve(other))];
        _isNear = [.. layout.Ranks.Select(place => place.Node == layout.Ranks[rank].Node && layout.Links != TensorLinkKind.Frames)];
    }

    /// <summary>Whether there is somewhere to keep copies of the rank's state.</summary>
    internal bool TakesCopies { get; }

    /// <summary>Whether ranks lie on several nodes, so that one may be lost and the others kept; then what is sent is kept too.</summary>
    internal bool IsSpread { get; }

    internal int RankCount => _ranks.Length;

    /// <summary>
    /// Whether a rank lies on the same node. What it is told stays in the process, by reference, and is good in every generation since the
    /// units lie as they do.
    /// </summary>
    internal bool IsNear(int rank) => _isNear[rank];

    /// <summary>Sends a tensor; takes ownership unless it is kept by the caller. What is sent again follows from no span: that it was sent from has ended.</summary>
    internal void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion, bool isKept, IActorRef self, ulong span = 0)
    {
        var stamped = key.In(_generation);
        if (_isNear[rank])
        {
            Of(rank).Tell(new TensorHandover(stamped, isKept ? KeptMessages.Alias(tensor) : tensor, completion, span), self);
            return;
        }

        completion.Wait();
        if (_links?.Reaches(rank) == true) _links.Send(rank, stamped, tensor, span);
        else Of(rank).Tell(TensorBytes.ToFrame(stamped, tensor, span), self);
        if (!isKept) tensor.Dispose();
    }

    /// <summary>Whether what a rank is sent can be read from where it lies: it goes over a link, which says when it no longer reads.</summary>
    internal bool Lends(int rank) => !_isNear[rank] && _links?.Reaches(rank) == true;

    /// <summary>Sends a tensor of a rank for which <see cref="Lends"/> holds; it stays the caller's.</summary>
    internal void Lend(int rank, FrameKey key, torch.Tensor tensor, TensorLoan loan, ulong span) => _links?.Send(rank, key.In(_generation), tensor, span, loan);

    internal void Send(int rank, NeighbourProtocol.INote note, IActorRef self)
    {
        var stamped = note.In(_generation);
        Of(rank).Tell(_isNear[rank] ? new NoteHandover(stamped) : stamped, self);
    }

    /// <summary>A path of this actor system whose actor was not there yet leads nowhere for ever, so it is looked up again.</summary>
    private IActorRef Of(int rank) => _ranks[rank] is EmptyLocalActorRef ? _ranks[rank] = _resolve(rank) : _ranks[rank];

    /// <summary>Gives up the links: what was not acknowledged on them is sent again in another generation, or not needed.</summary>
    public void Dispose() => _links?.Dispose();

    internal void Report(StageProtocol.IEvent report, IActorRef self) => _coordinator.Tell(report.In(_generation), self);

    /// <summary>Sends a tensor that was kept and takes ownership of it.</summary>
    /// <param name="kept">The tensor.</param>
    /// <param name="self">Who sends.</param>
    /// <param name="loan">Ended when its memory is no longer read.</param>
    internal void SendAgain(KeptTensor kept, IActorRef self, TensorLoan loan)
    {
        if (Lends(kept.Rank))
        {
            Lend(kept.Rank, kept.Key, kept.Tensor, loan, span: 0);
            kept.Tensor.Dispose();
            return;
        }

        SendAgain(kept, self);
        loan.End();
    }

    /// <summary>Sends something that was kept; takes ownership of a tensor.</summary>
    internal void SendAgain(KeptMessage message, IActorRef self)
    {
        switch (message)
        {
            case KeptTensor kept:
                Send(kept.Rank, kept.Key, kept.Tensor, kept.Completion, isKept: false, self);
                break;
            case KeptNote kept:
                Send(kept.Rank, kept.Note, self);
                break;
        }
    }
}
