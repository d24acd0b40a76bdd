using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction;
using Pipeline.Reduction.Topologies;
using Pipeline.Stages;
using Pipeline.Tests.Protocol.Links;
using TorchSharp;
using Xunit;

namespace Pipeline.Tests.Stages.Replicas;

/// <summary>Gradients that two replicas send each other from where they lie.</summary>
public sealed partial class StageReductionTests
{
    // Each unit is a bucket of its own, whose memory is the gradient itself; or all are gathered in one.
    [Theory]
    [InlineData(1)]
    [InlineData(1_000_000)]
    public async Task An_answer_takes_the_place_of_what_was_lent_only_when_that_was_sent_and_a_step_ends_when_no_link_reads_its_sums(int bucketLength)
    {
        LendingLinks[] links = new LendingLinks[2];
        using var replicas = new Replicas(2, Summation.Fast, Lending(bucketLength), links: (index, inboxes) => links[index] = new LendingLinks(index, inboxes));
        var key = new StepKey(TestLinks.Run, Generation.None, 0, 1);
        int[] both = [0, 1];
        foreach (var replica in both) replicas.Compute(replica, key);
        Assert.All(links, link => Assert.DoesNotContain(link.Awaited, lent => lent.IsAwaited));
        // Contributions come, and are answered; but no link has sent what it was lent, as if the answers were those of a former life.
        foreach (var round in both)
        {
            foreach (var link in links) link.Deliver();
            foreach (var replica in both) replicas.Proceed(replica, key);
        }

        Assert.All(links, link => Assert.Equal(link.AsLent(), link.Now()));
        // One receipt a bucket is enough: it speaks for all frames before it.
        Assert.All(links, link => Assert.All(link.Awaited.GroupBy(lent => lent.Key.Edge), bucket => Assert.Equal(LastOf(bucket), bucket.Where(lent => lent.IsAwaited).Select(lent => lent.Key))));
        foreach (var link in links) link.Sent();
        foreach (var replica in both) replicas.Proceed(replica, key);
        Assert.All(links, link => Assert.NotEqual(link.AsLent(), link.Now()));
        var finishing = both.Select(replica => Task.Factory.StartNew(() => replicas.Finish(replica, key), TaskCreationOptions.LongRunning)).ToArray();
        Assert.True(SpinWait.SpinUntil(() => links.All(link => link.Waits) || finishing.Any(task => task.IsCompleted), TestLinks.Patience));
        Assert.All(finishing, task => Assert.False(task.IsCompleted));
        foreach (var link in links) link.EndLoans();
        await Task.WhenAll(finishing);
        var expected = replicas.Expected();
        Assert.All(replicas.Gradients(), gradient => Assert.True(expected.AsSpan().SequenceEqual(gradient)));
        // What a lost replica would be fed with again is what it was sent, though other sums lie there now.
        Assert.All(links, link => Assert.Equal(link.AsLent(), link.Kept()));
        foreach (var link in links) link.Dispose();

        static IEnumerable<FrameKey> LastOf(IEnumerable<(FrameKey Key, bool)> bucket) => bucket.Select(lent => lent.Key).Where(key => key.Kind == FrameKind.ReducedGradient).TakeLast(1);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1_000_000)]
    public void An_answer_is_received_in_its_place_once_no_link_can_read_what_lies_there_which_is_kept(int bucketLength)
    {
        var links = new LendingLinks[2];
        StageInbox[] inboxes = [];
        using var replicas = new Replicas(2, Summation.Fast, Lending(bucketLength), links: (index, all) => links[index] = new LendingLinks(index, inboxes = all));
        var key = new StepKey(TestLinks.Run, Generation.None, 0, 1);
        int[] both = [0, 1];
        foreach (var replica in both) replicas.Compute(replica, key);
        foreach (var link in links) link.Deliver();
        foreach (var replica in both) replicas.Proceed(replica, key);
        foreach (var link in links) link.Sent();
        Assert.All(links, link => Assert.NotEmpty(link.LentOf(FrameKind.ReducedGradient)));
        // Sent is not received: a link whose connection breaks would read it again.
        foreach (var replica in both) Assert.All(links[1 - replica].LentOf(FrameKind.ReducedGradient), answer => Assert.Null(inboxes[replica].TakePlace(answer.Key)));
        foreach (var link in links) link.EndLoans();
        foreach (var replica in both) Assert.All(links[1 - replica].LentOf(FrameKind.ReducedGradient), answer => Receive(inboxes[replica], answer.Key, answer.View));
        foreach (var replica in both) replicas.Finish(replica, key);
        var expected = replicas.Expected();
        Assert.All(replicas.Gradients(), gradient => Assert.True(expected.AsSpan().SequenceEqual(gradient)));
        Assert.All(links, link => Assert.Equal(link.AsLent(), link.Kept()));
        foreach (var link in links) link.Dispose();

        static void Receive(StageInbox inbox, FrameKey key, torch.Tensor answer)
        {
            var place = inbox.TakePlace(key);
            Assert.NotNull(place);
            answer.bytes.CopyTo(place.bytes);
            Assert.True(inbox.TryWork(new ReceivedTensor(new TensorReceived(key, place)), isInPlace: true));
        }
    }

    [Fact]
    public void A_contribution_whose_answer_is_there_before_it_is_copied_since_a_receiver_that_was_replaced_may_be_sent_it_again()
    {
        var former = new LendingLinks[2];
        using var before = new Replicas(2, Summation.Fast, Lending(1_000_000), links: (index, inboxes) => former[index] = new LendingLinks(index, inboxes));
        var key = new StepKey(TestLinks.Run, Generation.None, 0, 1);
        int[] both = [0, 1];
        foreach (var replica in both) before.Compute(replica, key);
        foreach (var link in former) link.Deliver();
        foreach (var replica in both) before.Proceed(replica, key);
        // A rank that replays is sent the answers of its former life before it has come to the step.
        var links = new LendingLinks[2];
        StageInbox[] inboxesNow = [];
        using var replicas = new Replicas(2, Summation.Fast, Lending(1_000_000), links: (index, inboxes) => links[index] = new LendingLinks(index, inboxesNow = inboxes));
        former[1].Deliver(FrameKind.ReducedGradient, inboxesNow[0]);
        // These links take nothing but loans, and say so.
        Assert.Contains("was copied", Assert.Throws<InvalidOperationException>(() => replicas.Compute(0, key)).Message, StringComparison.Ordinal);
        Assert.DoesNotContain(links[0].Awaited, lent => lent.Key.Kind == FrameKind.GradientContribution);
        replicas.Compute(1, key);
        Assert.Contains(links[1].Awaited, lent => lent.Key.Kind == FrameKind.GradientContribution);
        foreach (var link in former.Concat(links)) link.Dispose();
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

    [Theory]
    [MemberData(nameof(Cases))]
    public void Sums_that_links_work_on_as_they_bring_them_have_the_bits_of_the_tree(int count, Summation summation, ReductionTopology topology)
    {
        List<WorkingLinks> links = [];
        using var replicas = new Replicas(count, summation, Lending(5000) with { Topology = topology, GroupSize = 2 }, links: (index, inboxes) =>
        {
            links.Add(new WorkingLinks(index, inboxes));
            return links[^1];
        });
        var expected = replicas.Expected();
        for (var step = 1; step <= 3; step++)
        {
            replicas.Reduce(step);
            Assert.All(replicas.Gradients(), gradient => Assert.True(expected.AsSpan().SequenceEqual(gradient)));
        }

        foreach (var link in links) link.Finish();
        // Of those that come before they are asked for the compute thread takes care; seldom all of them.
        if (count > 1) Assert.InRange(links.Sum(link => link.WorkedCount), 1, int.MaxValue);
    }

    private static ReductionSettings Lending(int bucketLength) => new() { BucketLength = bucketLength, PieceLength = 1000, ShortestLoan = 1 };
}
