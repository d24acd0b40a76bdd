using Akka.Actor;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Operator;

/// <summary>Commands that move ranks, on a simulated cluster, running and paused: whatever is moved, the losses are those of the reference, to the bit.</summary>
[Collection(PipelineCollection.Name)]
public sealed class ClusterCommandTests
{
    private const int Steps = 10;
    private static readonly IReadOnlyList<int> s_wanted = [1, 4, 3];

    [Theory]
    [InlineData("move 1 e --yes", ProtectionKind.Memory)]
    [InlineData("move 1 e --yes", ProtectionKind.None)]
    [InlineData("drain c --yes", ProtectionKind.Memory)]
    [InlineData("restart 2 --yes", ProtectionKind.Memory)]
    [InlineData("restart 2 --yes", ProtectionKind.None)]
    public async Task Ranks_move_while_the_run_goes_on(string line, ProtectionKind kind)
    {
        using OperatedCluster run = new(kind, Steps);
        var asked = run.Cluster.AtStep(3, () => run.AskAsync(line));
        run.Cluster.StartCoordinator("a");
        await run.AssertCompletedAsync();
        var answer = await await asked;
        Assert.True(answer.IsDone, answer.Text);
        if (line.StartsWith("move", StringComparison.Ordinal)) Assert.Contains((1, new NodeId("e", 1)), run.Notices.All.OfType<RunNotice.Recovering>().SelectMany(notice => notice.Ranks));
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
        using OperatedCluster run = new(kind, Steps);
        await run.PauseAsync(3, Divided(run.Plan));
        await run.DoneAsync(line);
        await run.DoneAsync("resume");
        await run.AssertCompletedAsync();
    }

    [Theory]
    [InlineData(ProtectionKind.Memory)]
    [InlineData(ProtectionKind.None)]
    public async Task A_unit_goes_to_the_stage_beside_its_own_and_no_bit_changes(ProtectionKind kind)
    {
        using OperatedCluster run = new(kind, Steps);
        var status = await run.PauseAsync(3);
        var counts = RunLayout.For(run.Plan).UnitCounts;
        var units = run.Plan.Units;
        var (first, second, last) = (units[counts[0]].Name, units[counts[0] + 1].Name, units[^1].Name);
        var (node, own) = (status.Stages[0].Node.Address, status.Stages[1].Node.Address);
        foreach (var (line, refusal) in new[] { ($"move {second} {node} --yes", "has to go first"), ($"move {last} {node} --yes", "stages are units in a row"), ($"move {first} {own} --yes", "is there already"), ($"move nothing {node} --yes", "Expected one of embedding") })
        {
            var refused = await run.RunAsync(line);
            Assert.False(refused.IsDone, line);
            Assert.Contains(refusal, refused.Text, StringComparison.Ordinal);
        }

        Assert.True((await run.RunAsync($"move {first} {node}")).NeedsConsent);
        await run.DoneAsync($"move {first} {node} --yes");
        Assert.Equal([counts[0] + 1, counts[1] - 1, counts[2]], Assert.Single(run.Notices.All.OfType<RunNotice.UnitsMoved>()).UnitCounts);
        await run.DoneAsync("resume");
        await run.AssertCompletedAsync();
    }

    [Fact]
    public async Task A_rank_goes_to_and_fro_between_two_nodes()
    {
        using OperatedCluster run = new(ProtectionKind.Memory, Steps);
        var home = (await run.PauseAsync(3)).Stages[1].Node.Address;
        foreach (var node in new[] { "e", home, "e" }) await run.DoneAsync($"move 1 {node} --yes");
        await run.DoneAsync("resume");
        await run.AssertCompletedAsync();
    }

    [Fact]
    public async Task A_cordoned_node_is_given_nothing()
    {
        using OperatedCluster run = new(ProtectionKind.Memory, Steps);
        var asked = run.Cluster.AtStep(3, async () =>
        {
            await run.AskAsync("cordon e");
            return await run.AskAsync("drain c --yes");
        });
        run.Cluster.StartCoordinator("a");
        await run.AssertCompletedAsync();
        Assert.True((await await asked).IsDone);
        Assert.DoesNotContain(run.Cluster.Work, work => work.Key.Node == "e");
    }

    /// <summary>A command that is added to the catalogue has to be added here.</summary>
    [Fact]
    public async Task Every_command_of_the_catalogue_is_carried_out_on_a_cluster_and_no_loss_changes()
    {
        // However far it comes between two commands, it is the last one that ends it.
        using OperatedCluster run = new(ProtectionKind.Memory, 100_000);
        var cluster = run.Cluster;
        var files = run.Files;
        Directory.CreateDirectory(files.Logs);
        await File.WriteAllTextAsync(files.Configuration, "pipeline.seed = 17  # the command line\n");
        await File.WriteAllTextAsync(Path.Combine(files.Logs, "node-1.log"), "It is up.\n");
        RunWatch watch = new(TimeProvider.System);
        await run.PauseAsync(3, Divided(run.Plan), new ObserverChain(cluster.Notices, watch));
        IReadOnlyDictionary<NodeId, NodeLoad> loads = new Dictionary<NodeId, NodeLoad> { [cluster.Node("e").Id] = new(12.5, 1 << 20) };
        CommandDesk desk = new(
            new OperatedRun(files, cluster.Coordinator, _ => Task.FromResult(run.Nodes), () => cluster.Coordinator.Tell(StopRun.Instance))
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
        Assert.True(outcome.End == RunEnd.Stopped, outcome.Error);
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, outcome.Step), cluster.Notices.Steps, allowsMissingDigests: true);
        Assert.Contains((1, new NodeId("e", 1)), cluster.Notices.All.OfType<RunNotice.Recovering>().SelectMany(notice => notice.Ranks));
        Assert.Equal(s_wanted, Assert.Single(cluster.Notices.All.OfType<RunNotice.UnitsMoved>()).UnitCounts);
        // Each change is in the audit with who and what; queries are not.
        Assert.Equal(
            changes.Where(line => CommandWords.Parse(line) is var words && CommandCatalogue.Find(words.Name) is { IsChange: true } command && !command.QueryWords.Contains(words.Arguments.Count > 0 ? words.Arguments[0] : "")),
            cluster.Notices.All.OfType<RunNotice.Commanded>().Where(command => command.Operator == "tester").Skip(1).Select(command => command.Command));
    }

    [Fact]
    public async Task A_change_holds_for_a_rank_that_computes_its_steps_again()
    {
        using OperatedCluster run = new(ProtectionKind.Memory, Steps);
        var first = (await run.PauseAsync(3)).GrantedStep + 1;
        await run.DoneAsync("set lr 0.02 --yes");
        run.Cluster.Kill("c");
        await run.DoneAsync("resume");
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await run.Cluster.UntilAsync(run.Cluster.Ended));
        var changed = run.Plan with { StageCount = 1, Optimizer = TinyRun.Optimizer with { Changes = [new OptimizerChange(first, 0.02, null)] } };
        TinyRun.AssertEqual(TinyRun.Train(changed), run.Notices.Steps, allowsMissingDigests: true);
    }

    /// <summary>A run whose units are divided otherwise whenever they are measured.</summary>
    private static Func<CoordinatedRun, CoordinatedRun> Divided(TrainingPlan plan)
    {
        var schedule = ScheduleText.Format(RunLayout.For(plan with { UnitCounts = s_wanted }).Schedule);
        return run => run with { Repartition = (_, _, _) => new UnitDivision(s_wanted, schedule) };
    }
}
