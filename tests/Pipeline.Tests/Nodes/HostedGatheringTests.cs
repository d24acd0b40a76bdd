using Akka.Actor;
using Pipeline.Nodes;
using Pipeline.Protocol;
using Pipeline.Stages;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>A node that is asked again before it has answered: a new leader would take for lost what is missing from an answer.</summary>
public sealed class HostedGatheringTests : IDisposable
{
    private static readonly RunId s_run = new(1);
    private static readonly NodeInfo s_self = new(new NodeId("akka://a", 1), "", [NodeInfo.StageRole], "cpu", 1, 0, 1, "a", "");
    private readonly ActorSystem _system = ActorSystem.Create("gathering");
    private readonly HostedGatherings _gatherings = new();
    private readonly IActorRef[] _stages;

    public HostedGatheringTests() => _stages = [.. Enumerable.Range(0, 2).Select(rank => _system.ActorOf(Props.Empty, $"stage-{rank}"))];

    public void Dispose() => _system.Terminate().Wait(TimeSpan.FromSeconds(10));

    [Fact]
    public void Overlapping_questions_are_each_answered_whole_and_with_what_was_said_to_them()
    {
        Ask(generation: 1);
        Ask(generation: 2);
        // One stage is quick and answers both before the other answers any.
        Say(0, step: 4);
        Say(0, step: 5);
        Hold(copies: 1);
        Hold(copies: 2);
        Assert.Empty(_gatherings.TakeComplete());
        Say(1, step: 4);
        AssertAnswer(generation: 1, copies: 1, 4, 4);
        Say(1, step: 6);
        AssertAnswer(generation: 2, copies: 2, 5, 6);
        Assert.Empty(_gatherings.TakeComplete());
    }

    [Fact]
    public void A_stage_that_ends_before_it_has_spoken_holds_no_answer_up()
    {
        Ask(generation: 1);
        Say(0, step: 4);
        Ask(generation: 2);
        Hold(copies: 0);
        Hold(copies: 0);
        Say(0, step: 5);
        _gatherings.Lose(_stages[1]);
        Assert.Equal([4, 5], _gatherings.TakeComplete().Select(complete => Assert.Single(complete.Report(s_self).Stages).Step));
    }

    private void Ask(int generation) => _gatherings.Add(new HostedGathering(ActorRefs.Nobody, s_run, new Generation(generation), _stages));

    private void Say(int rank, long step) =>
        _gatherings.Enter(_stages[rank], new StageStanding(new HostedStage(rank, Generation.First, Generation.First, step, step, step, false, "", $"stage-{rank}")));

    private void Hold(int copies) => _gatherings.Enter(new HeldCopies([.. Enumerable.Range(0, copies).Select(step => new CopyId(s_run, Generation.First, 0, step)), new CopyId(new RunId(9), Generation.First, 0, 0)]));

    private void AssertAnswer(int generation, int copies, params long[] steps)
    {
        var report = Assert.Single(_gatherings.TakeComplete()).Report(s_self);
        Assert.Equal(generation, report.Asked.Number);
        Assert.Equal(copies, report.Copies.Count);
        Assert.Equal(steps, report.Stages.Select(stage => stage.Step));
    }
}
