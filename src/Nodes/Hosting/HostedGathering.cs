using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Stages;

namespace Pipeline.Nodes;

/// <summary>Collects what a node's own actors say of themselves for one question, until all have spoken or ended.</summary>
/// <param name="asker">Who wants to know.</param>
/// <param name="run">About which run.</param>
/// <param name="asked">In which generation it was asked.</param>
/// <param name="stages">Stages to hear of.</param>
internal sealed class HostedGathering(IActorRef asker, RunId run, Generation asked, IEnumerable<IActorRef> stages)
{
    private readonly HashSet<IActorRef> _awaited = [.. stages];
    private readonly List<HostedStage> _stages = [];
    private IReadOnlyList<CopyId>? _copies;

    internal IActorRef Asker => asker;

    internal bool IsComplete => _awaited.Count == 0 && _copies is not null;

    /// <summary>A stage has spoken; false if it is not waited for.</summary>
    internal bool Enter(IActorRef speaker, StageStanding standing)
    {
        if (!_awaited.Remove(speaker)) return false;
        if (standing.Stage is { } stage) _stages.Add(stage);
        return true;
    }

    /// <summary>Whoever holds the copies has spoken; false if that is known.</summary>
    internal bool Enter(HeldCopies held)
    {
        if (_copies is not null) return false;
        _copies = [.. held.Copies.Where(copy => copy.Run == run)];
        return true;
    }

    /// <summary>A stage is no more, and says nothing.</summary>
    internal void Lose(IActorRef stage) => _awaited.Remove(stage);

    internal NodeProtocol.HostedReport Report(NodeInfo self) => new(self.Id, self, asked, [.. _stages.OrderBy(stage => stage.Rank)], _copies ?? []);
}
