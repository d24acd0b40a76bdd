using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Tests.Runs;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Nodes;

[Collection(PipelineCollection.Name)]
public sealed class FailureCountTests
{
    [Fact]
    public async Task A_failure_that_comes_again_ends_the_run_also_where_the_leader_that_saw_it_first_is_gone()
    {
        using TemporaryFolder folder = new();
        var clean = TinyRun.Plan(3, 2, steps: 12);
        var plan = clean with
        {
            Units = [.. clean.Units.SkipLast(1), new InfiniteUnit(clean.Units[^1], 1, 5, 6)],
            StepsAhead = 2,
            Protection = new ProtectionDuties(ProtectionKind.Memory, 2, ""),
            Checkpoints = new CheckpointPlan(new FolderCheckpointStore(folder.In("checkpoints")), RunTests.Describe) { SaveEvery = 2 },
        };
        using var cluster = new SimulatedCluster(1, plan, 5);
        JournalInMemory journal = new();
        TaskCompletionSource lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
        // The leader dies as soon as it has all go back.
        cluster.Network.Seen = (_, _, message) =>
        {
            if (message is not NodeProtocol.HostStage { Assignment.Layout.PartitionedIn.Number: > 1 } || lost.Task.IsCompleted) return;
            cluster.Kill("a", isHeard: false);
            lost.TrySetResult();
        };
        cluster.StartCoordinator("a", run => run with { Journal = journal });
        await cluster.UntilAsync(() => lost.Task.IsCompleted);
        Assert.Equal(new CountedFailure(new NonFiniteStep(6, 1), 1), Assert.Single(journal.Last!.Failures!));
        var outcome = await NodeFaultTests.TakeOverAsync(cluster, journal, plan.Checkpoints!.Store, ["a"]);
        Assert.Equal((RunEnd.Failed, 5L), (outcome.End, outcome.Step));
        Assert.Contains("It was the same in 2 tries", outcome.Error, StringComparison.Ordinal);
        Assert.Single(cluster.Notices.All.OfType<RunNotice.RolledBack>());
    }
}
