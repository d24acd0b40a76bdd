using Akka.Actor;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Schedules;
using Pipeline.Tests.Nodes;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Operator;

/// <summary>Commands that move ranks, on a simulated cluster, running and paused: whatever is moved, the losses are those of the reference, to the bit.</summary>
[Collection(PipelineCollection.Name)]
public sealed class ClusterCommandTests : IDisposable
{
    private const int Steps = 10;
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-operated-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("move 1 e --yes", ProtectionKind.Memory)]
    [InlineData("move 1 e --yes", ProtectionKind.None)]
    [InlineData("drain c --yes", ProtectionKind.Memory)]
    [InlineData("restart 2 --yes", ProtectionKind.Memory)]
    [InlineData("restart 2 --yes", ProtectionKind.None)]
    public async Task Ranks_move_while_the_run_goes_on(string line, ProtectionKind kind)
    {
        using var cluster = new SimulatedCluster(1, Plan(kind), 5);
        var asked = cluster.AtStep(3, () => Desk(cluster).RunAsync(new CommandCall(line, "tester"), CancellationToken.None));
        cluster.StartCoordinator("a");
        await AssertCompletedAsync(cluster);
        var answer = await await asked;
        Assert.True(answer.IsDone, answer.Text);
        if (line.StartsWith("move", StringComparison.Ordinal)) Assert.Contains((1, new NodeId("e", 1)), cluster.Notices.All.OfType<RunNotice.Recovering>().SelectMany(notice => notice.Ranks));
    }

    [Theory]
    [InlineData("move 1 e --yes", ProtectionKind.Memory)]
    [InlineData("move 1 e --yes", ProtectionKind.None)]
    [InlineData("drain c --yes", ProtectionKind.Memory)]
    [InlineData("drain c --yes", ProtectionKind.None)]
    [InlineData("rebalance", ProtectionKind.Memory)]
    [InlineData("rebalance", ProtectionKind.None)]
    public async Task Ranks_move_at_once_while_the_run_is_paused(string line, ProtectionKind kind)
    {
        var plan = Plan(kind);
        using var cluster = new SimulatedCluster(1, plan, 5);
        IReadOnlyList<int> wanted = [1, 4, 3];
        var schedule = ScheduleText.Format(RunLayout.For(plan with { UnitCounts = wanted }).Schedule);
        var paused = cluster.AtStep(3, () => Run(cluster, "pause"));
        cluster.StartCoordinator("a", run => run with { Repartition = (_, _) => new UnitDivision(wanted, schedule) });
        Assert.True((await cluster.UntilAsync(await cluster.UntilAsync(paused))).IsDone);
        await ReachPauseAsync(cluster);

        var answer = await cluster.UntilAsync(Run(cluster, line));
        Assert.True(answer.IsDone, answer.Text);
        Assert.True((await cluster.UntilAsync(Run(cluster, "resume"))).IsDone);
        await AssertCompletedAsync(cluster);
    }

    [Theory]
    [InlineData(ProtectionKind.Memory)]
    [InlineData(ProtectionKind.None)]
    public async Task A_unit_goes_to_the_stage_beside_its_own_and_no_bit_changes(ProtectionKind kind)
    {
        var plan = Plan(kind);
        using var cluster = new SimulatedCluster(1, plan, 5);
        var paused = cluster.AtStep(3, () => Run(cluster, "pause"));
        cluster.StartCoordinator("a");
        Assert.True((await cluster.UntilAsync(await cluster.UntilAsync(paused))).IsDone);
        var status = await ReachPauseAsync(cluster);
        var counts = RunLayout.For(plan).UnitCounts;
        var (first, second, last) = (plan.Units[counts[0]].Name, plan.Units[counts[0] + 1].Name, plan.Units[^1].Name);
        var (node, own) = (status.Stages[0].Node.Address, status.Stages[1].Node.Address);
        foreach (var (line, refusal) in new[] { ($"move {second} {node} --yes", "has to go first"), ($"move {last} {node} --yes", "stages are units in a row"), ($"move {first} {own} --yes", "is there already"), ($"move nothing {node} --yes", "Expected one of embedding") })
        {
            var refused = await cluster.UntilAsync(Run(cluster, line));
            Assert.False(refused.IsDone, line);
            Assert.Contains(refusal, refused.Text, StringComparison.Ordinal);
        }

        Assert.True((await cluster.UntilAsync(Run(cluster, $"move {first} {node}"))).NeedsConsent);
        var answer = await cluster.UntilAsync(Run(cluster, $"move {first} {node} --yes"));
        Assert.True(answer.IsDone, answer.Text);
        Assert.Equal([counts[0] + 1, counts[1] - 1, counts[2]], Assert.Single(cluster.Notices.All.OfType<RunNotice.UnitsMoved>()).UnitCounts);
        Assert.True((await cluster.UntilAsync(Run(cluster, "resume"))).IsDone);
        await AssertCompletedAsync(cluster);
    }

    [Fact]
    public async Task A_cordoned_node_is_given_nothing()
    {
        using var cluster = new SimulatedCluster(1, Plan(ProtectionKind.Memory), 5);
        var asked = cluster.AtStep(3, async () =>
        {
            await Run(cluster, "cordon e");
            return await Run(cluster, "drain c --yes");
        });
        cluster.StartCoordinator("a");
        await AssertCompletedAsync(cluster);
        Assert.True((await await asked).IsDone);
        Assert.DoesNotContain(cluster.Work, work => work.Key.Node == "e");
    }

    [Fact]
    public async Task A_change_holds_for_a_rank_that_computes_its_steps_again()
    {
        var plan = Plan(ProtectionKind.Memory);
        using var cluster = new SimulatedCluster(1, plan, 5);
        var paused = cluster.AtStep(3, () => Run(cluster, "pause"));
        cluster.StartCoordinator("a");
        await cluster.UntilAsync(await cluster.UntilAsync(paused));
        var first = (await ReachPauseAsync(cluster)).GrantedStep + 1;
        Assert.True((await cluster.UntilAsync(Run(cluster, "set lr 0.02 --yes"))).IsDone);
        cluster.Kill("c");
        Assert.True((await cluster.UntilAsync(Run(cluster, "resume"))).IsDone);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await cluster.UntilAsync(cluster.Ended));
        var changed = plan with { StageCount = 1, Optimizer = TinyRun.Optimizer with { Changes = [new OptimizerChange(first, 0.02, null)] } };
        TinyRun.AssertEqual(TinyRun.Train(changed), cluster.Notices.Steps, allowsMissingDigests: true);
    }

    private static async Task<RunStatus> ReachPauseAsync(SimulatedCluster cluster)
    {
        while (true)
        {
            var status = await cluster.UntilAsync(cluster.Coordinator.Ask<RunStatus>(QueryStatus.Instance));
            if (status.Phase == "paused") return status;
        }
    }

    private static Task<CommandAnswer> Run(SimulatedCluster cluster, string line) => Desk(cluster).RunAsync(new CommandCall(line, "tester"), CancellationToken.None);

    private static CommandDesk Desk(SimulatedCluster cluster)
    {
        IReadOnlyList<OperatedNode> nodes = [.. cluster.NodeNames.Select(name => new OperatedNode(cluster.Node(name).Id, new NodeLine(name, 1, ["stage"], name, name, name == "a")))];
        return new CommandDesk(new OperatedRun(new RunFiles("unused"), cluster.Coordinator, _ => Task.FromResult(nodes), () => { }), new RunWatch(TimeProvider.System));
    }

    private TrainingPlan Plan(ProtectionKind kind) => TinyRun.Plan(3, 2, steps: Steps) with
    {
        StepsAhead = 2,
        EvaluateEvery = 2,
        EvaluationMicroBatchCount = 2,
        Protection = kind == ProtectionKind.None ? ProtectionDuties.None : new ProtectionDuties(kind, 4, Path.Combine(_folder, "copies")),
        Checkpoints = new CheckpointPlan(new FolderCheckpointStore(Path.Combine(_folder, "checkpoints")), RunTests.Describe),
    };

    private static async Task AssertCompletedAsync(SimulatedCluster cluster)
    {
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await cluster.UntilAsync(cluster.Ended));
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, Steps), cluster.Notices.Steps, allowsMissingDigests: true);
        Assert.Equal([2, 4, 6, 8, 10], cluster.Notices.All.OfType<RunNotice.Evaluated>().Select(evaluated => evaluated.AfterStep));
    }
}
