using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Stages;

namespace Pipeline.Nodes;

/// <summary>Collects what a node's own actors say of themselves, until all have spoken.</summary>
/// <param name="asker">Who wants to know.</param>
/// <param name="run">About which run.</param>
/// <param name="asked">In which generation it was asked.</param>
/// <param name="stageCount">Stages to hear of.</param>
internal sealed class HostedGathering(IActorRef asker, RunId run, Generation asked, int stageCount)
{
    private readonly List<HostedStage> _stages = [];
    private IReadOnlyList<CopyId>? _copies;
    private int _left = stageCount;

    internal IActorRef Asker => asker;

    internal bool IsComplete => _left <= 0 && _copies is not null;

    internal void Enter(StageStanding standing)
    {
        _left--;
        if (standing.Stage is { } stage) _stages.Add(stage);
    }

    internal void Enter(HeldCopies held) => _copies = [.. held.Copies.Where(copy => copy.Run == run)];

    internal NodeProtocol.HostedReport Report(NodeInfo self) => new(self.Id, self, asked, [.. _stages.OrderBy(stage => stage.Rank)], _copies ?? []);
}
