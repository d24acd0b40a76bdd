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
    public async Task A_rank_goes_to_and_fro_between_two_nodes()
    {
        using var cluster = new SimulatedCluster(1, Plan(ProtectionKind.Memory), 5);
        var paused = cluster.AtStep(3, () => Run(cluster, "pause"));
        cluster.StartCoordinator("a");
        await cluster.UntilAsync(await cluster.UntilAsync(paused));
        var home = (await ReachPauseAsync(cluster)).Stages[1].Node.Address;
        foreach (var node in new[] { "e", home, "e" })
            Assert.True((await cluster.UntilAsync(Run(cluster, $"move 1 {node} --yes"))).IsDone);
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

    /// <summary>A command that is added to the catalogue has to be added here.</summary>
    [Fact]
    public async Task Every_command_of_the_catalogue_is_carried_out_on_a_cluster_and_no_loss_changes()
    {
        RunFiles files = new(Path.Combine(_folder, "run"));
        Directory.CreateDirectory(files.Logs);
        await File.WriteAllTextAsync(files.Configuration, "pipeline.seed = 17  # the command line\n");
        await File.WriteAllTextAsync(Path.Combine(files.Logs, "node-1.log"), "It is up.\n");
        var plan = Plan(ProtectionKind.Memory) with { Steps = 60, Checkpoints = new CheckpointPlan(new FolderCheckpointStore(files.Checkpoints), RunTests.Describe) };
        using var cluster = new SimulatedCluster(1, plan, 5);
        RunWatch watch = new(TimeProvider.System);
        IReadOnlyList<int> wanted = [1, 4, 3];
        var schedule = ScheduleText.Format(RunLayout.For(plan with { UnitCounts = wanted }).Schedule);
        var paused = cluster.AtStep(3, () => Run(cluster, "pause"));
        cluster.StartCoordinator("a", run => run with { Repartition = (_, _) => new UnitDivision(wanted, schedule) }, observer: new ObserverChain(cluster.Notices, watch));
        await cluster.UntilAsync(await cluster.UntilAsync(paused));
        await ReachPauseAsync(cluster);
        IReadOnlyList<OperatedNode> nodes = [.. cluster.NodeNames.Select(name => new OperatedNode(cluster.Node(name).Id, new NodeLine(name, 1, ["stage"], name, name, name == "a")))];
        IReadOnlyDictionary<NodeId, NodeLoad> loads = new Dictionary<NodeId, NodeLoad> { [cluster.Node("e").Id] = new(12.5, 1 << 20) };
        CommandDesk desk = new(
            new OperatedRun(files, cluster.Coordinator, _ => Task.FromResult(nodes), () => cluster.Coordinator.Tell(StopRun.Instance))
            {
                Generate = (prompt, _) => Task.FromResult(new CommandAnswer(true, prompt + "se")),
                Loads = _ => Task.FromResult(loads),
            },
            watch);
        var queries = CommandCatalogue.All.Where(command => !command.IsChange && command.ArgumentCount.Least == 0).Select(command => command.Name);
        string[] changes =
        [
            "checkpoint now", "checkpoint ls", "checkpoint keep", "verify", "generate the", "dump", "trace start", "evaluate", "set clip 0.5 --yes", "cordon e", "uncordon e", "move 1 e --yes", "drain c --yes", "restart 2 --yes",
            "rebalance", "resume", "pause", "resume", "stop --yes",
        ];
        HashSet<string> carriedOut = new(StringComparer.Ordinal);
        foreach (var line in queries.Concat(changes))
        {
            var answer = await cluster.UntilAsync(desk.RunAsync(new CommandCall(line, "tester", Guid.NewGuid().ToString("N")), CancellationToken.None));
            Assert.True(answer.IsDone, $"{line}: {answer.Text}");
            Assert.NotEmpty(answer.Text);
            carriedOut.Add(CommandWords.Parse(line).Name);
            // A node on another machine says itself what it has used.
            if (line == "nodes") Assert.Equal([("d", null), ("e", 12.5)], answer.Json!.AsArray().TakeLast(2).Select(node => (node!["name"]!.GetValue<string>(), node["cpu_seconds"]?.GetValue<double>())));
        }

        Assert.Equal(CommandCatalogue.All.Select(command => command.Name).Order(StringComparer.Ordinal), carriedOut.Order(StringComparer.Ordinal));
        var outcome = await cluster.UntilAsync(cluster.Ended);
        Assert.True(outcome.End is RunEnd.Stopped or RunEnd.Completed, outcome.Error);
        TinyRun.AssertEqual([.. TinyRun.Reference(2, true, Precision.Fp32, 60).Take((int)outcome.Step)], cluster.Notices.Steps, allowsMissingDigests: true);
        Assert.Contains((1, new NodeId("e", 1)), cluster.Notices.All.OfType<RunNotice.Recovering>().SelectMany(notice => notice.Ranks));
        Assert.Equal(wanted, Assert.Single(cluster.Notices.All.OfType<RunNotice.UnitsMoved>()).UnitCounts);
        // Each change is in the audit with who and what; queries are not.
        Assert.Equal(
            changes.Where(line => CommandWords.Parse(line) is var words && CommandCatalogue.Find(words.Name) is { IsChange: true } command && !command.QueryWords.Contains(words.Arguments.Count > 0 ? words.Arguments[0] : "")),
            cluster.Notices.All.OfType<RunNotice.Commanded>().Where(command => command.Operator == "tester").Skip(1).Select(command => command.Command));
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
