using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>Where everything lies in one generation, as seen from one rank: stamps what is sent with it. Immutable; owns nothing.</summary>
internal sealed class LinkTable
{
    private readonly Generation _generation;
    private readonly IActorRef _coordinator;
    private readonly IActorRef[] _ranks;
    private readonly bool[] _isNear;

    internal LinkTable(int rank, PipelineLayout layout, IActorRef coordinator, Func<string, IActorRef> resolve)
    {
        _generation = layout.Generation;
        _coordinator = coordinator;
        _ranks = [.. layout.Ranks.Select(place => resolve(place.StagePath))];
        _isNear = [.. layout.Ranks.Select(place => place.Node == layout.Ranks[rank].Node && layout.Links == TensorLinkKind.Automatic)];
    }

    internal int RankCount => _ranks.Length;

    /// <summary>
    /// Whether a rank lies on the same node, so that both are lost together and nothing need be kept for it. What it is told stays in the
    /// process, by reference, and is good in every generation since the units lie as they do.
    /// </summary>
    internal bool IsNear(int rank) => _isNear[rank];

    /// <summary>Sends a tensor; takes ownership unless it is kept by the caller.</summary>
    internal void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion, bool isKept, IActorRef self)
    {
        var stamped = key.In(_generation);
        if (_isNear[rank])
        {
            _ranks[rank].Tell(new TensorHandover(stamped, tensor, completion), self);
            return;
        }

        completion.Wait();
        _ranks[rank].Tell(TensorBytes.ToFrame(stamped, tensor), self);
        if (!isKept) tensor.Dispose();
    }

    internal void Send(int rank, NeighbourProtocol.INote note, IActorRef self)
    {
        var stamped = note.In(_generation);
        _ranks[rank].Tell(_isNear[rank] ? new NoteHandover(stamped) : stamped, self);
    }

    internal void Report(StageProtocol.IEvent report, IActorRef self) => _coordinator.Tell(report.In(_generation), self);

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
