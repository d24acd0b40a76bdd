using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Tests.Protocol.Links;
using Xunit;

namespace Pipeline.Tests.Stages.Replicas;

/// <summary>Gradients that two replicas send each other from where they lie.</summary>
public sealed partial class StageReductionTests
{
    // Each unit is a bucket of its own, whose memory is the gradient itself; or all are gathered in one.
    [Theory]
    [InlineData(1)]
    [InlineData(1_000_000)]
    public void A_sum_takes_the_place_of_what_was_lent_only_when_no_link_reads_it_any_longer(int bucketLength)
    {
        LendingLinks[] links = new LendingLinks[2];
        using var replicas = new Replicas(2, Summation.Fast, Lending(bucketLength), links: (index, inboxes) => links[index] = new LendingLinks(index, inboxes));
        var key = new StepKey(TestLinks.Run, Generation.None, 0, 1);
        foreach (var replica in (int[])[0, 1]) replicas.Compute(replica, key);
        foreach (var link in links) link.Deliver();
        var own = links.Select(link => link.Read()).ToArray();
        foreach (var replica in (int[])[0, 1]) replicas.Proceed(replica, key);
        Assert.All(links.Zip(own), pair => Assert.Equal(pair.Second, pair.First.Read()));
        foreach (var link in links) link.EndLoans();
        foreach (var replica in (int[])[0, 1]) replicas.Finish(replica, key);
        var expected = replicas.Expected();
        Assert.All(replicas.Gradients(), gradient => Assert.True(expected.AsSpan().SequenceEqual(gradient)));
        // What a lost replica would be fed with again is what it was sent, though the sum lies there now.
        Assert.All(links.Zip(own), pair => Assert.Equal(pair.Second, pair.First.Kept()));
        foreach (var link in links) link.Dispose();
    }

    [Fact]
    public void Replicas_that_lend_have_the_bits_of_those_that_copy_however_their_connections_are_cut()
    {
        var links = new HubbedLinks[2];
        using var replicas = new Replicas(2, Summation.Fast, Lending(5000), links: (index, inboxes) => links[index] = new HubbedLinks(index, inboxes[index]));
        links[0].Connect(links[1], seed: 1);
        links[1].Connect(links[0], seed: 2);
        var expected = replicas.Expected();
        for (var step = 1; step <= 4; step++)
        {
            replicas.Reduce(step);
            Assert.All(replicas.Gradients(), gradient => Assert.True(expected.AsSpan().SequenceEqual(gradient)));
        }

        Assert.All(links, link => Assert.InRange(link.CutCount, 1, int.MaxValue));
        // What is kept of every step, piece by piece, is what the other end got.
        Assert.Equal(links[1].Arrived, links[0].Kept());
        Assert.Equal(links[0].Arrived, links[1].Kept());
        foreach (var link in links) link.Dispose();
    }

    private static ReductionSettings Lending(int bucketLength) => new() { BucketLength = bucketLength, PieceLength = 1000, ShortestLoan = 1 };
}
