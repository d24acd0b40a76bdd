using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction;
using Pipeline.Reduction.Topologies;
using Pipeline.Stages;
using Pipeline.Tests.Protocol.Links;
using Xunit;

namespace Pipeline.Tests.Stages.Replicas;

/// <summary>Replicas that pass sums of a group on.</summary>
public sealed partial class StageReductionTests
{
    [Theory]
    [InlineData(Summation.Fast)]
    [InlineData(Summation.Invariant)]
    public void A_leader_that_replays_passes_the_sum_of_its_group_on_though_the_answer_of_its_former_life_was_there_before_the_groups_part(Summation summation)
    {
        var settings = new ReductionSettings { Topology = ReductionTopology.Hierarchical, GroupSize = 2, BucketLength = 5000, PieceLength = 1000 };
        var key = new StepKey(TestLinks.Run, Generation.None, 0, 1);
        FrameRecord former = new(), now = new();
        using var before = new Replicas(4, summation, settings, links: (index, inboxes) => new RecordingLinks(index, inboxes, former, brings: true));
        before.Reduce(1);
        // The first of the two groups' leaders comes again; what it is sent again comes in another order than it did, since the other one of its group has to replay as well.
        StageInbox[] inboxes = [];
        using var after = new Replicas(4, summation, settings, links: (index, all) => new RecordingLinks(index, inboxes = all, now, brings: false));
        foreach (var answer in former.To(0, FrameKind.ReducedGradient)) inboxes[0].Post(new FrameArrival(answer));
        after.Compute(0, key);
        after.Proceed(0, key);
        foreach (var contribution in former.To(0, FrameKind.GradientContribution)) inboxes[0].Post(new FrameArrival(contribution));
        after.Proceed(0, key);
        after.Finish(0, key);
        Assert.Contains(former.From(0), sent => sent.To == 2);
        Assert.Equal(former.From(0), now.From(0));
        Assert.True(before.Gradients().First().AsSpan().SequenceEqual(after.Gradients().First()));
    }
}
