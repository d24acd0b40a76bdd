using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Tests.Training;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>Stages of several nodes over real sockets of one process.</summary>
[Collection(PipelineCollection.Name)]
public sealed class NodeLinkTests
{
    [Theory]
    [InlineData(Precision.Fp32)]
    [InlineData(Precision.Bf16)]
    public async Task Tensors_that_travel_over_links_leave_the_bits_as_they_are(Precision precision)
    {
        var plan = TinyRun.Plan(3, 3, precision: precision) with { EvaluateEvery = 2, EvaluationMicroBatchCount = 2, Protection = new(ProtectionKind.Memory, 1, "") };
        using var cluster = new SimulatedCluster(1, plan, 4, hasLinks: true);
        cluster.StartCoordinator("a");
        Assert.Equal(new RunOutcome(RunEnd.Completed, 5), await cluster.UntilAsync(cluster.Ended));
        TinyRun.AssertEqual(TinyRun.Reference(3, true, precision), cluster.Notices.Steps);
        Assert.DoesNotContain(nameof(TensorFrame), cluster.Network.Counts.Keys);
    }

    [Fact]
    public async Task A_lost_stage_is_fed_again_over_links()
    {
        var plan = TinyRun.Plan(3, 3, steps: 8) with { EvaluateEvery = 2, EvaluationMicroBatchCount = 2, Protection = new(ProtectionKind.Memory, 3, "") };
        using var cluster = new SimulatedCluster(1, plan, 5, hasLinks: true);
        var killed = cluster.AtStep(5, () => Task.FromResult(true), () => cluster.Kill("c"));
        cluster.StartCoordinator("a");
        Assert.Equal(new RunOutcome(RunEnd.Completed, 8), await cluster.UntilAsync(cluster.Ended));
        TinyRun.AssertEqual(TinyRun.Reference(3, true, Precision.Fp32, 8), cluster.Notices.Steps);
        Assert.True(await await killed);
        Assert.All(cluster.Work, work => Assert.Equal(1, work.Value));
    }
}
