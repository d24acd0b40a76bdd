using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// Links that end in actors. A tensor goes from the producer's compute thread into the neighbour's mailbox, and from its handler into
/// the consumer's inbox; what a rank sends to itself goes straight into its own.
/// </summary>
internal sealed class ActorLinks : IStageLinks
{
    private readonly IActorRef _self;
    private readonly IActorRef _coordinator;
    private readonly StageInbox _inbox;
    private readonly int _rank;
    private readonly IActorRef[] _ranks;
    private readonly ITensorLink[] _links;

    internal ActorLinks(int rank, IReadOnlyList<IActorRef> ranks, IActorRef self, IActorRef coordinator, StageInbox inbox, TensorLinkKind kind)
    {
        _rank = rank;
        _self = self;
        _coordinator = coordinator;
        _inbox = inbox;
        _ranks = [.. ranks];
        _links = [.. ranks.Select(neighbour => LinkTo(neighbour, self, kind))];
    }

    /// <inheritdoc/>
    public void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion)
    {
        if (rank == _rank) _inbox.Post(new HandedOver(new TensorHandover(key, tensor, completion)));
        else _links[rank].Send(key, tensor, completion);
    }

    /// <inheritdoc/>
    public void Send(int rank, NeighbourProtocol.INote note)
    {
        if (rank == _rank) _inbox.Post(note);
        else _ranks[rank].Tell(note, _self);
    }

    /// <inheritdoc/>
    public void Report(StageProtocol.IEvent report) => _coordinator.Tell(report, _self);

    private static ITensorLink LinkTo(IActorRef neighbour, IActorRef self, TensorLinkKind kind)
    {
        var isInProcess = neighbour is IActorRefScope { IsLocal: true };
        return kind == TensorLinkKind.Automatic && isInProcess ? new ReferenceLink(neighbour, self) : new FrameLink(neighbour, self);
    }
}
