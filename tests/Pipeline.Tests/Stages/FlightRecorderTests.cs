using System.Diagnostics;
using CsCheck;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Schedules;
using Pipeline.Stages;
using Xunit;

namespace Pipeline.Tests.Stages;

public sealed class FlightRecorderTests
{
    private static readonly StepKey Step = new(new RunId(1), Generation.None, 0, 7);

    [Fact]
    public void The_newest_entries_are_kept_in_their_order() => Gen.Int[0, 3 * FlightRecorder.Capacity].Sample(count =>
    {
        FlightRecorder recorder = new();
        for (var index = 0; index < count; index++) recorder.Arrived(FlightSubject.Grant(index));
        var kept = recorder.Report(0, "").Entries;
        var first = Math.Max(0, count - FlightRecorder.Capacity);
        return kept.Select(entry => entry.Subject).SequenceEqual(Enumerable.Range(first, count - first).Select(index => $"a grant beyond step {index}"))
            && kept.Zip(kept.Skip(1)).All(pair => pair.First.Age >= pair.Second.Age);
    });

    [Fact]
    public void An_entry_takes_no_memory()
    {
        FlightRecorder recorder = new();
        recorder.Know(new RankMap(Mesh(1), 0, new Dictionary<int, int>()));
        void Record()
        {
            recorder.Began(new StageAction(1, ActionKind.Forward, 2), 7);
            recorder.Waits(FlightSubject.Of(Activation(2)));
            recorder.Arrived(FlightSubject.Of(Activation(2)));
            recorder.Goes();
            recorder.Sent(FlightSubject.Of(Activation(2)), 1);
            recorder.Ended(new StageAction(1, ActionKind.Forward, 2));
        }

        Record();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var index = 0; index < 1000; index++) Record();
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void A_rank_says_for_how_long_its_thread_has_neither_begun_nor_ended_anything()
    {
        FlightRecorder recorder = new();
        var action = new StageAction(1, ActionKind.Forward, 2);
        recorder.Began(action, 7);
        Assert.Equal("computes 1F2 of step 7", recorder.Stillness.Doing);
        var least = TimeSpan.FromMilliseconds(5);
        SpinWait.SpinUntil(() => recorder.Stillness.Still >= least);
        // What others send is no sign of it.
        recorder.Arrived(FlightSubject.Grant(7));
        Assert.True(recorder.Stillness.Still >= least);
        var before = Stopwatch.GetTimestamp();
        recorder.Ended(action);
        var still = recorder.Stillness.Still;
        Assert.True(still <= Stopwatch.GetElapsedTime(before), $"{still}");
    }

    [Fact]
    public void A_rank_says_what_it_is_at_and_whom_it_waits_for()
    {
        FlightRecorder recorder = new();
        Assert.Equal(("nothing", -1), At(recorder));
        // Two ranks a replica, stages led back up: rank 0 holds the first and the last stage.
        recorder.Know(new RankMap(Mesh(2), 1, new Dictionary<int, int> { [0] = 4 }));
        recorder.Began(new StageAction(1, ActionKind.Forward, 2), 7);
        Assert.Equal(("computes 1F2 of step 7", -1), At(recorder));
        recorder.Waits(FlightSubject.Of(Activation(2)));
        Assert.Equal(("waits for the activation of micro-batch 2 over edge 0, step 7", 2), At(recorder));
        recorder.Goes();
        recorder.Ended(new StageAction(1, ActionKind.Forward, 2));
        Assert.Equal(("nothing", -1), At(recorder));
        recorder.Waits(FlightSubject.Of(Activation(0) with { Kind = FrameKind.Gradient, Edge = 0 }));
        Assert.Equal(3, At(recorder).AwaitedRank);
        recorder.Waits(FlightSubject.Of(Activation(0) with { Kind = FrameKind.TiedGradientToOwner, Edge = 0 }));
        Assert.Equal(("waits for the gradient of tie 0, step 7", 4), At(recorder));
        recorder.Waits(FlightSubject.Squares(Step, 1));
        Assert.Equal(("waits for the squares of stage 1, step 7", 1), At(recorder));
        recorder.Waits(FlightSubject.Totals(Step));
        Assert.Equal(("waits for the totals of step 7", 0), At(recorder));
        recorder.Ends("a fault");
        Assert.Equal(("has failed: a fault", -1), At(recorder));
    }

    [Fact]
    public void What_replicas_wait_for_is_named_with_the_rank_that_owes_it()
    {
        FlightRecorder recorder = new();
        recorder.Know(new RankMap(Mesh(4), 2, new Dictionary<int, int>()));
        recorder.Waits(FlightSubject.Of(new FrameKey(Step, 0, 1, 0, FrameKind.Activation)));
        Assert.Equal(("waits for the activation of micro-batch 1 over edge 0, step 7", 4), At(recorder));
        recorder.Waits(FlightSubject.Of(new FrameKey(Step, 4, 3, 1, FrameKind.GradientContribution)));
        Assert.Equal(("waits for the sums of replica 3 for the bucket of unit 4, step 7", 7), At(recorder));
        recorder.Waits(FlightSubject.Of(new FrameKey(Step, 9, 0, 1, FrameKind.ReducedGradient)));
        Assert.Equal(("waits for the reduced gradient of the bucket of unit 9 from replica 0, step 7", 0), At(recorder));
        recorder.Waits(FlightSubject.Of(new FrameKey(Step, 9, 4, 0, FrameKind.ReducedGradient)));
        Assert.Equal(("waits for the reduced gradient of the bucket of unit 9 from the reducer, step 7", 8), At(recorder));
        recorder.Waits(FlightSubject.Of(new FrameKey(Step, 6, 1, 0, FrameKind.UpdatedWeights)));
        Assert.Equal(("waits for the weights of unit 6 that replica 1 updates, step 7", 3), At(recorder));
        recorder.Waits(FlightSubject.Squares(Step, 4 + 3));
        Assert.Equal(("waits for the squares of stage 3 of replica 1, step 7", 2), At(recorder));
        recorder.Waits(FlightSubject.Totals(Step));
        Assert.Equal(0, At(recorder).AwaitedRank);
    }

    [Fact]
    public void A_wait_that_is_interrupted_by_something_else_is_noted_once()
    {
        FlightRecorder recorder = new();
        for (var index = 0; index < 5; index++)
        {
            recorder.Waits(FlightSubject.Totals(Step));
            recorder.Arrived(FlightSubject.Grant(index));
        }

        recorder.Goes();
        Assert.Single(recorder.Report(0, "").Entries, entry => entry.Kind == FlightKind.Waits);
        Assert.Single(recorder.Report(0, "").Entries, entry => entry.Kind == FlightKind.Has);
    }

    /// <summary>Replicas of two ranks with four stages of three units, which lead back up.</summary>
    private static ReplicaMesh Mesh(int replicaCount) =>
        new([.. Enumerable.Repeat(new ReplicaStages([3, 3, 3, 3], ScheduleCatalog.Generate("zb-v", 2, 4)), replicaCount)], hasReducers: true);

    private static (string Doing, int AwaitedRank) At(FlightRecorder recorder)
    {
        var flight = recorder.Report(1, "nothing");
        return (flight.Doing, flight.AwaitedRank);
    }

    private static FrameKey Activation(int microBatch) => new(Step, 0, microBatch, 0, FrameKind.Activation);
}
