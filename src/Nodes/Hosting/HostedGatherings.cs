using Akka.Actor;
using Pipeline.Stages;

namespace Pipeline.Nodes;

/// <summary>
/// The questions that a node has not answered yet. Each actor is asked once for each of them and answers in that order, so that what it says belongs to the
/// oldest question that still waits for it.
/// </summary>
internal sealed class HostedGatherings
{
    private readonly List<HostedGathering> _open = [];

    /// <summary>A further question.</summary>
    internal void Add(HostedGathering gathering) => _open.Add(gathering);

    /// <summary>A stage has spoken.</summary>
    internal void Enter(IActorRef speaker, StageStanding standing) => _ = _open.Any(gathering => gathering.Enter(speaker, standing));

    /// <summary>Whoever holds the copies has spoken.</summary>
    internal void Enter(HeldCopies held) => _ = _open.Any(gathering => gathering.Enter(held));

    /// <summary>A stage is no more.</summary>
    internal void Lose(IActorRef stage) => _open.ForEach(gathering => gathering.Lose(stage));

    /// <summary>Those to be answered now, which are open no longer.</summary>
    internal IReadOnlyList<HostedGathering> TakeComplete()
    {
        HostedGathering[] complete = [.. _open.Where(gathering => gathering.IsComplete)];
        _open.RemoveAll(gathering => gathering.IsComplete);
        return complete;
    }
}
