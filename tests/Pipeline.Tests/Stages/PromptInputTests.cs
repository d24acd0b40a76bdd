using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Stages;
using Pipeline.Tests.Model;
using Pipeline.Tests.Training;
using TorchSharp;
using Xunit;

namespace Pipeline.Tests.Stages;

/// <summary>Inputs that are worked on by the thread that brings them.</summary>
[Collection(PipelineCollection.Name)]
public sealed class PromptInputTests
{
    private static readonly StepKey Step = new(new RunId(1), Generation.None, 0, 3);

    [Fact]
    public void An_input_that_is_worked_on_as_it_comes_is_worked_on_once_and_freed()
    {
        StageInbox inbox = new();
        var before = LiveTensors.Settle();
        List<float> seen = [];
        inbox.WorkOn(Key(0), tensor => Sees(seen, tensor));
        Assert.Null(inbox.TryTakeUnlessWorked(Key(0)));
        // A link says the generation; the inputs of a step are the same in all of them.
        Assert.True(inbox.TryWork(Received(Key(0).In(Generation.First), 1)));
        var again = Received(Key(0), 2);
        Assert.False(inbox.TryWork(again));
        inbox.Post(again);
        inbox.AwaitAny([Key(0)]);
        Assert.True(inbox.TryTakeUnlessWorked(Key(0)) is { Value: null, Timestamp: > 0 });
        Assert.Null(inbox.TryTakeUnlessWorked(Key(0)));
        Assert.Equal(1, Assert.Single(seen));
        inbox.FinishPhase(StageInbox.StepPhase(3));
        Assert.Equal(before, LiveTensors.Settle());
    }

    [Fact]
    public void What_cannot_be_worked_on_or_came_before_it_was_asked_for_lies_there_as_any_other_input()
    {
        StageInbox inbox = new();
        inbox.WorkOn(Key(0), _ => false);
        inbox.Post(Received(Key(1), 1));
        inbox.WorkOn(Key(1), _ => throw new InvalidOperationException("It had come."));
        for (var index = 0; index < 3; index++)
        {
            var received = Received(Key(index), index);
            Assert.False(inbox.TryWork(received));
            inbox.Post(received);
            inbox.AwaitAny([Key(index), Key(9)]);
            using var tensor = inbox.TryTakeUnlessWorked(Key(index))?.Value?.Take(torch.CPU);
            Assert.Equal(index, tensor?.item<float>());
        }

        inbox.FinishPhase(StageInbox.StepPhase(3));
    }

    [Fact]
    public async Task Whoever_waits_for_inputs_goes_on_when_all_were_worked_on_or_one_lies_there_and_hears_what_went_wrong()
    {
        StageInbox inbox = new();
        List<float> seen = [];
        for (var index = 0; index < 3; index++) inbox.WorkOn(Key(index), tensor => Sees(seen, tensor));
        var all = Task.Run(() => inbox.AwaitAny([Key(0), Key(1)]));
        Assert.True(inbox.TryWork(Received(Key(1), 1)));
        Assert.True(inbox.TryWork(Received(Key(0), 0)));
        await all;
        Assert.True(seen.SequenceEqual([1f, 0f]));
        var one = Task.Run(() => inbox.AwaitAny([Key(2), Key(3)]));
        inbox.Post(Received(Key(3), 3));
        await one;
        using (inbox.TryTakeUnlessWorked(Key(3))?.Value?.Take(torch.CPU)) Assert.Null(inbox.TryTakeUnlessWorked(Key(2)));
        inbox.WorkOn(Key(4), _ => throw new InvalidOperationException("It does not fit."));
        var faulty = Task.Run(() => inbox.AwaitAny([Key(2), Key(4)]));
        Assert.True(inbox.TryWork(Received(Key(4), 4)));
        await faulty;
        Assert.Equal("It does not fit.", Assert.Throws<InvalidOperationException>(() => inbox.TryTakeUnlessWorked(Key(4))).Message);
    }

    [Fact]
    public void Nothing_is_worked_on_of_a_step_that_is_over_or_an_attempt_that_is_given_up_or_for_a_rank_that_ends()
    {
        StageInbox inbox = new();
        var next = Step with { Step = 4 };
        var last = Step with { Step = 5 };
        FrameKey[] keys = [Key(0), Key(0) with { Step = next }, Key(0) with { Step = last }];
        foreach (var key in keys) inbox.WorkOn(key, _ => throw new InvalidOperationException("Nobody wants it."));
        inbox.FinishPhase(StageInbox.StepPhase(3));
        inbox.Abandon(next);
        Assert.False(IsWorkedOn(inbox, keys[0]));
        Assert.False(IsWorkedOn(inbox, keys[1]));
        inbox.Close();
        Assert.False(IsWorkedOn(inbox, keys[2]));
        Assert.Throws<StageClosedException>(() => inbox.AwaitAny([keys[2]]));
    }

    [Fact]
    public void What_comes_of_an_input_while_it_is_received_in_its_place_is_looked_at_only_if_it_does_not_arrive_there()
    {
        StageInbox inbox = new();
        var before = LiveTensors.Settle();
        var places = new torch.Tensor?[2];
        for (var index = 0; index < places.Length; index++)
        {
            inbox.WorkOn(Key(index), _ => true, () => torch.zeros(1).DetachFromDisposeScope());
            places[index] = inbox.TakePlace(Key(index).In(Generation.First));
            Assert.NotNull(places[index]);
            Assert.Null(inbox.TakePlace(Key(index)));
            for (var value = 1; value <= 2; value++)
            {
                var again = Received(Key(index), value);
                Assert.False(inbox.TryWork(again));
                inbox.Post(again);
            }

            Assert.Null(inbox.TryTakeUnlessWorked(Key(index)));
        }

        places[0]?.Dispose();
        inbox.ReturnPlace(Key(0));
        using (var tensor = inbox.TryTakeUnlessWorked(Key(0))?.Value?.Take(torch.CPU)) Assert.Equal(1, tensor?.item<float>());
        Assert.True(inbox.TryWork(new ReceivedTensor(new TensorReceived(Key(1), places[1]!)), isInPlace: true));
        Assert.True(inbox.TryTakeUnlessWorked(Key(1)) is { Value: null });
        inbox.FinishPhase(StageInbox.StepPhase(3));
        Assert.Equal(before, LiveTensors.Settle());
    }

    [Fact]
    public void A_place_that_cannot_be_had_leaves_an_input_to_come_as_any_other()
    {
        StageInbox inbox = new();
        var worked = 0;
        inbox.WorkOn(Key(0), _ => ++worked > 0, () => null);
        inbox.WorkOn(Key(1), _ => ++worked > 0, () => throw new InvalidOperationException("There is none."));
        Assert.Null(inbox.TakePlace(Key(0)));
        Assert.Throws<InvalidOperationException>(() => inbox.TakePlace(Key(1)));
        Assert.True(inbox.TryWork(Received(Key(0), 0)));
        Assert.True(inbox.TryWork(Received(Key(1), 0)));
        Assert.Equal(2, worked);
        Assert.Null(inbox.TakePlace(Key(0)));
    }

    private static bool IsWorkedOn(StageInbox inbox, FrameKey key)
    {
        var received = Received(key, 0);
        var isWorkedOn = inbox.TryWork(received);
        received.Refuse();
        return isWorkedOn;
    }

    private static bool Sees(List<float> seen, ReceivedTensor received)
    {
        seen.Add(received.Tensor.item<float>());
        return true;
    }

    private static ReceivedTensor Received(FrameKey key, float value) => new(new TensorReceived(key, torch.full([1], value).DetachFromDisposeScope()));

    private static FrameKey Key(int shard) => new(Step, 0, 1, shard, FrameKind.GradientContribution);
}
