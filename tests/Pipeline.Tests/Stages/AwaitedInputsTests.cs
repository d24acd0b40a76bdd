using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Tests.Protocol.Security.Guard;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;
using static Pipeline.Protocol.NeighbourProtocol;

namespace Pipeline.Tests.Stages;

/// <summary>What may come to a rank is known before it comes.</summary>
[Collection(PipelineCollection.Name)]
public sealed class AwaitedInputsTests
{
    private static readonly StepKey Step = new(new RunId(1), Generation.First, 0, 3);

    [Fact]
    public void A_rank_awaits_what_its_neighbours_send_it_and_nothing_else()
    {
        var awaited = AwaitedInputs.Of(1, Layout(TinyRun.Plan(3, 2)))!;
        FrameKey key = new(Step, 0, 1, 0, FrameKind.Activation);
        Assert.Null(awaited.FaultOf(key));
        Assert.Null(awaited.FaultOf(key with { Step = Step with { Attempt = 1 } }));
        Assert.Null(awaited.FaultOf(key with { Edge = 1, Kind = FrameKind.Gradient }));
        Assert.Null(awaited.FaultOf(key with { Kind = FrameKind.EvaluationActivation }));
        foreach (var stray in new[]
        {
            key with { Edge = 1 }, key with { MicroBatch = 2 }, key with { Slice = 1 }, key with { Step = Step with { Attempt = 2 } }, key with { Edge = int.MaxValue },
            key with { Kind = FrameKind.Gradient }, key with { Kind = FrameKind.StateCopy }, key with { Kind = FrameKind.UpdatedWeights }, key with { Kind = FrameKind.ReducedGradient },
            key with { Kind = (FrameKind)99 }, key with { Kind = FrameKind.EvaluationActivation, MicroBatch = 7 },
        })
            Assert.Contains("never awaits", awaited.FaultOf(stray), StringComparison.Ordinal);
    }

    [Fact]
    public void Replicas_await_sums_and_weights_of_each_other_and_none_of_their_own()
    {
        var awaited = AwaitedInputs.Of(1, Layout(TinyRun.Plan(1, 2) with { ReplicaCount = 2, SharesOptimizer = true }))!;
        FrameKey key = new(Step, 7, 0, 0, FrameKind.UpdatedWeights);
        Assert.Null(awaited.FaultOf(new FrameHeader(key, [new FrameTensor(FrameDataType.Byte, [4], 4)])));
        Assert.NotNull(awaited.FaultOf(new FrameHeader(key, [new FrameTensor(FrameDataType.Float32, [1], 4)])));
        Assert.Null(awaited.FaultOf(key with { Kind = FrameKind.GradientContribution, Slice = 1 }));
        Assert.NotNull(awaited.FaultOf(key with { MicroBatch = 1 }));
        Assert.NotNull(awaited.FaultOf(key with { Edge = 8 }));
    }

    [Fact]
    public void Where_gradients_are_freed_each_micro_batch_of_another_replica_is_awaited_by_itself()
    {
        var awaited = AwaitedInputs.Of(1, Layout(TinyRun.Plan(1, 4) with { ReplicaCount = 2, SharesOptimizer = true, SharesGradients = true }))!;
        FrameKey key = new(Step, 7, 0, 0, FrameKind.GradientContribution);
        Assert.Null(awaited.FaultOf(key));
        Assert.Null(awaited.FaultOf(key with { MicroBatch = 2 }));
        foreach (var stray in new[] { 1, 3, 4 }) Assert.NotNull(awaited.FaultOf(key with { MicroBatch = stray }));
    }

    [Fact]
    public void Squares_are_taken_from_contributors_of_the_run_by_the_rank_that_adds_them_up()
    {
        var layout = Layout(TinyRun.Plan(3, 2));
        var awaited = AwaitedInputs.Of(0, layout)!;
        SquaredNorms last = new(Step, 2, [1, 2], [3, 4], 8, -1);
        Assert.Null(awaited.FaultOf(last));
        Assert.NotNull(AwaitedInputs.Of(1, layout)!.FaultOf(last));
        foreach (var stray in new[] { last with { Stage = 3 }, last with { Stage = -1 }, last with { Stage = 1 }, last with { Losses = [3] }, last with { TokenCount = -1 }, last with { Step = Step with { Attempt = 5 } } })
            Assert.NotNull(awaited.FaultOf(stray));
    }

    [Fact]
    public void Replicas_with_other_stages_await_what_is_of_their_own_units_and_say_the_squares_of_their_own_stages()
    {
        // Ranks 0 and 1 are the first replica, rank 2 the second, of eight units; rank 3 adds up beside rank 0, rank 4 beside rank 1.
        var plan = TinyRun.Plan(2, 4) with { ReplicaCount = 2, StagesPerReplica = [2, 1] };
        var layout = Layout(plan);
        var first = layout.UnitCounts[0];
        FrameKey sums = new(Step, first, 1, 0, FrameKind.GradientContribution);
        Assert.NotNull(AwaitedInputs.Of(0, layout)!.FaultOf(sums));
        Assert.Null(AwaitedInputs.Of(1, layout)!.FaultOf(sums));
        Assert.Null(AwaitedInputs.Of(0, layout)!.FaultOf(sums with { Edge = first - 1 }));
        foreach (var unit in Enumerable.Range(0, 8)) Assert.Null(AwaitedInputs.Of(2, layout)!.FaultOf(sums with { Edge = unit, MicroBatch = 0 }));
        Assert.NotNull(AwaitedInputs.Of(2, layout)!.FaultOf(new FrameKey(Step, 0, 0, 0, FrameKind.Activation)));
        var totals = AwaitedInputs.Of(0, layout)!;
        SquaredNorms squares = new(Step, 2, [1], [3, 4], 8, -1);
        Assert.Null(totals.FaultOf(squares));
        Assert.Null(totals.FaultOf(squares with { Stage = 0, Losses = [], TokenCount = 0 }));
        Assert.NotNull(totals.FaultOf(squares with { Stage = 0 }));
        Assert.NotNull(totals.FaultOf(squares with { Stage = 3 }));
        var beside = layout with { ReducerCount = 2, Ranks = [.. layout.Ranks, .. layout.Ranks.Take(2)] };
        Assert.Null(AwaitedInputs.Of(4, beside)!.FaultOf(sums));
        Assert.NotNull(AwaitedInputs.Of(3, beside)!.FaultOf(sums));
        Assert.Null(AwaitedInputs.Of(2, beside)!.FaultOf(sums with { MicroBatch = 2, Kind = FrameKind.ReducedGradient }));
    }

    [Fact]
    public void What_is_refused_is_said_once_a_minute_with_the_number_of_what_was_not()
    {
        MovableMonotonicTime time = new();
        List<string> said = [];
        StrayInputs strays = new(time, said.Add);
        for (var count = 0; count < 1000; count++) strays.Refuse("this");
        Assert.Equal("Refused: this. The run goes on.", Assert.Single(said));
        time.Advance(TimeSpan.FromMinutes(1));
        strays.Refuse("that");
        Assert.Equal("Refused: that. The run goes on. 999 more were refused since the last such line.", said[1]);
        Assert.Equal(1001, strays.Count);
    }

    private static PipelineLayout Layout(TrainingPlan plan)
    {
        var layout = RunLayout.For(plan);
        return new PipelineLayout(new RunId(1), Generation.First, Generation.First, layout.UnitCounts, ScheduleText.Format(layout.Schedule),
            [.. Enumerable.Range(0, layout.RankCount).Select(_ => new RankPlace(default, "", "", null))], TensorLinkKind.Automatic, new StepCadence(9, 2, 2), ProtectionDuties.None, "", layout.Others);
    }
}
