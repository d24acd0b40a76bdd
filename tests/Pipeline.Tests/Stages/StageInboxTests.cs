using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Stages;
using Pipeline.Tests.Model;
using Pipeline.Tests.Training;
using TorchSharp;
using Xunit;
using static Pipeline.Protocol.NeighbourProtocol;

namespace Pipeline.Tests.Stages;

[Collection(PipelineCollection.Name)]
public sealed class StageInboxTests
{
    private static readonly StepKey Step = new(new RunId(1), Generation.None, 0, 3);

    [Fact]
    public void A_tensor_is_found_by_its_key_whatever_came_before_it()
    {
        StageInbox inbox = new();
        var keys = Enumerable.Range(0, 4).Select(Key).ToArray();
        foreach (var key in keys.Reverse()) inbox.Post(Arrival(key, key.MicroBatch));
        foreach (var key in keys)
        {
            using var tensor = inbox.TakeTensor(key).Value.Take(torch.CPU);
            Assert.Equal(key.MicroBatch, tensor.item<float>());
        }

        inbox.FinishPhase(StageInbox.StepPhase(3));
    }

    [Fact]
    public async Task Whoever_waits_for_memory_that_was_lent_goes_on_when_the_link_has_done_with_it_or_the_stage_is_closed()
    {
        StageInbox inbox = new();
        TensorLoan returned = new(inbox.LoanEnded), open = new(inbox.LoanEnded);
        var waits = Task.Run(() => inbox.AwaitEnd(returned, Key(0)));
        returned.End();
        returned.End();
        await waits;
        var waitsForEver = Task.Run(() => inbox.AwaitEnd(open, Key(1)));
        inbox.Close();
        await Assert.ThrowsAsync<StageClosedException>(() => waitsForEver);
        inbox.AwaitEnd(returned, Key(0));
    }

    [Fact]
    public void What_repeats_an_input_or_comes_after_its_step_is_freed_unread()
    {
        StageInbox inbox = new();
        var before = LiveTensors.Settle();
        inbox.Post(Arrival(Key(0), 1));
        inbox.Post(Arrival(Key(0), 2));
        using (var taken = inbox.TakeTensor(Key(0)).Value.Take(torch.CPU)) Assert.Equal(1, taken.item<float>());
        inbox.Post(Arrival(Key(0), 3));
        inbox.FinishPhase(StageInbox.StepPhase(3));
        inbox.Post(Arrival(Key(1), 4));
        Assert.Equal(0, inbox.TensorCount);
        Assert.Equal(before, torch.Tensor.TotalCount);
    }

    [Fact]
    public void A_rank_that_starts_from_a_later_step_still_writes_a_save_of_that_step_when_the_run_fails_before_its_first()
    {
        StageInbox inbox = new();
        inbox.StartAfter(40, evaluates: false);
        inbox.Post(new StageProtocol.SaveCheckpoint(Generation.First, 40, 1));
        inbox.Close(finishesSaves: true);
        Assert.Equal(40, inbox.TakeOrder(40, isEnded: false).Save?.Step);
        Assert.Throws<StageClosedException>(() => inbox.TakeOrder(40, isEnded: false));
    }

    [Fact]
    public void A_step_that_leaves_an_input_untaken_is_a_broken_invariant()
    {
        StageInbox inbox = new();
        inbox.Post(Arrival(Key(2), 1));
        var fault = Assert.Throws<InvalidOperationException>(() => inbox.FinishPhase(StageInbox.StepPhase(3)));
        Assert.Contains("MicroBatch = 2", fault.Message, StringComparison.Ordinal);
        inbox.Close();
        inbox.Clear();
    }

    [Fact]
    public async Task A_waiting_thread_wakes_when_its_input_comes_and_when_the_inbox_closes()
    {
        StageInbox inbox = new();
        var waiting = Task.Run(() => inbox.TakeTotals(Step));
        inbox.Post(new SquaredNorms(Step, 0, [1], [], 0, -1));
        inbox.Post(new StepTotals(Step, new StepOutcome(2, 1, 1, StepVerdict.Apply, -1)));
        Assert.Equal(2, (await waiting).Value.Outcome.LossSum);
        var stuck = Task.Run(() => inbox.TakeOrder(3, isEnded: false));
        inbox.Close();
        await Assert.ThrowsAsync<StageClosedException>(() => stuck);
    }

    [Fact]
    public void A_stop_lets_a_save_of_the_step_under_way_be_done_and_no_further_step_be_begun()
    {
        StageInbox inbox = new();
        inbox.Grant(Through(9));
        Assert.Equal(StageOrderKind.Step, inbox.TakeOrder(2, isEnded: false).Kind);
        inbox.Post(new StageProtocol.SaveCheckpoint(Generation.None, 3, 0));
        inbox.Post(new StepTotals(Step, new StepOutcome(2, 1, 1, StepVerdict.Apply, -1)));
        inbox.Close(finishesSaves: true);
        inbox.ThrowIfClosed();
        Assert.Equal(2, inbox.TakeTotals(Step).Value.Outcome.LossSum);
        Assert.Throws<StageClosedException>(() => inbox.TakeTotals(Step));
        Assert.Equal(3, inbox.TakeOrder(3, isEnded: false).Save?.Step);
        Assert.Throws<StageClosedException>(() => inbox.TakeOrder(3, isEnded: false));
        Assert.Throws<StageClosedException>(inbox.ThrowIfClosed);
    }

    [Fact]
    public void An_evaluation_after_a_step_outlives_the_step()
    {
        StageInbox inbox = new();
        var key = Key(0) with { Kind = FrameKind.EvaluationActivation };
        inbox.Post(Arrival(key, 5));
        inbox.FinishPhase(StageInbox.StepPhase(3));
        using (inbox.TakeTensor(key).Value.Take(torch.CPU)) inbox.FinishPhase(StageInbox.EvaluationPhase(3));
    }

    [Fact]
    public async Task A_wait_for_an_input_or_an_order_ends_with_the_totals_that_are_awaited_beside_it()
    {
        StageInbox inbox = new();
        var next = Step with { Step = 4 };
        AwaitedTotals told = new(Step, null), made = new(next, 2);
        Assert.False(inbox.HasTotals(told));
        var input = Task.Run(() => inbox.TakeTensor(Key(0), told));
        inbox.Post(new StepTotals(Step, new StepOutcome(2, 1, 1, StepVerdict.Apply, -1)));
        Assert.Null(await input);
        var order = Task.Run(() => inbox.TakeOrder(4, isEnded: false, made));
        inbox.Post(new SquaredNorms(next, 1, [1], [], 0, -1));
        Assert.False(inbox.HasTotals(made));
        inbox.Post(new SquaredNorms(next, 0, [1], [], 0, -1));
        Assert.Equal(StageOrderKind.Settle, (await order).Kind);
        inbox.Grant(Through(5));
        Assert.Equal(StageOrderKind.Step, inbox.TakeOrder(4, isEnded: false, made).Kind);
    }

    [Fact]
    public void What_belongs_to_an_abandoned_attempt_is_freed_unread_and_the_other_attempt_and_the_evaluation_are_not()
    {
        StageInbox inbox = new();
        var before = LiveTensors.Settle();
        var evaluation = Key(0) with { Kind = FrameKind.EvaluationActivation };
        var valid = Key(0) with { Step = Step with { Attempt = 1 } };
        inbox.Post(Arrival(Key(0), 1));
        inbox.Post(Arrival(evaluation, 2));
        inbox.Abandon(Step);
        inbox.Post(Arrival(Key(1), 3));
        inbox.Post(Arrival(valid, 4));
        Assert.Equal(2, inbox.TensorCount);
        using (inbox.TakeTensor(valid).Value.Take(torch.CPU)) inbox.FinishPhase(StageInbox.StepPhase(3));
        using (inbox.TakeTensor(evaluation).Value.Take(torch.CPU)) inbox.FinishPhase(StageInbox.EvaluationPhase(3));
        Assert.Equal(before, torch.Tensor.TotalCount);
    }

    [Fact]
    public void A_rank_goes_beyond_what_is_assured_to_it_only_while_what_it_keeps_has_room()
    {
        KeptVolume kept = new(limit: 100);
        StageInbox inbox = new(kept: kept);
        inbox.Grant(Through(9) with { AssuredStep = 2 });
        kept.Add(101);
        foreach (var step in new[] { 0, 1 }) Assert.Equal(StageOrderKind.Step, inbox.TakeOrder(step, isEnded: false).Kind);
        // Had it begun a step, it would not look at the totals that it awaits beside it.
        inbox.Post(new StepTotals(Step, new StepOutcome(2, 1, 1, StepVerdict.Apply, -1)));
        Assert.Equal(StageOrderKind.Settle, inbox.TakeOrder(2, isEnded: false, new AwaitedTotals(Step, null)).Kind);
        kept.Add(-1);
        Assert.Equal(StageOrderKind.Step, inbox.TakeOrder(2, isEnded: false, new AwaitedTotals(Step, null)).Kind);
    }

    private static StageProtocol.GrantSteps Through(long step) => new(Generation.First, step, 0, 0, 0);

    private static FrameKey Key(int microBatch) => new(Step, 0, microBatch, 0, FrameKind.Activation);

    private static HandedOver Arrival(FrameKey key, float value) =>
        new(new TensorHandover(key, torch.full([1], value).DetachFromDisposeScope(), AlreadyDone.Instance));
}
