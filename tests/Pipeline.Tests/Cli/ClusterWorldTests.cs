using Akka.Actor;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Execution;
using Pipeline.Cli.Planning;
using Pipeline.Nodes;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>A plan for a cluster reckons with what its nodes say of themselves.</summary>
public sealed class ClusterWorldTests
{
    private static readonly IReadOnlyList<NodeStatus> s_nodes =
    [
        Node("a", speed: 40, memory: 8_000_000_000) with { Coordinates = true },
        Node("b", speed: 10, memory: 6_000_000_000),
        Node("c", speed: 30, memory: 0),
    ];

    [Fact]
    public void Ranks_are_reckoned_where_they_would_be_placed_the_fastest_first_and_the_leader_s_node_last()
    {
        var world = World(Settings("parallelism.pipeline=3").Settings, s_nodes);
        var pipeline = Assert.Single(world.Pipelines);
        Assert.Equal([1.5, 0.5, 2], pipeline.Ranks.Select(rank => rank.Speed));
        Assert.Equal([4_800_000_000, 6_400_000_000], pipeline.Ranks.Skip(1).Select(rank => rank.MemoryBytes));
        Assert.True(pipeline.Ranks[0].MemoryBytes > 1L << 60);
        Assert.Equal(["c", "b", "a"], world.Places.Select(place => place[^3..^2]));
    }

    [Fact]
    public void Ranks_of_one_machine_share_its_memory_and_take_turns_where_it_has_too_few_processors()
    {
        var settings = Settings("parallelism.pipeline=4").Settings;
        var pipeline = Assert.Single(World(settings, [Node("a", 20, 8_000_000_000) with { Threads = 2 }]).Pipelines);
        Assert.All(pipeline.Ranks, rank => Assert.Equal(new NodeCapacity(0.5, 1_600_000_000), rank));
        // Two nodes of one machine are no more than one.
        pipeline = Assert.Single(World(settings, [Node("a", 20, 8_000_000_000) with { Threads = 2 }, Node("b", 20, 8_000_000_000) with { Threads = 2, Host = "a" }]).Pipelines);
        Assert.All(pipeline.Ranks, rank => Assert.Equal(new NodeCapacity(0.5, 1_600_000_000), rank));
        // Not measured: as fast as this machine.
        Assert.Equal(1, World(Settings("parallelism.pipeline=2").Settings, [Node("a", 0, 0)]).Pipelines[0].Ranks[0].Speed);
        Assert.Throws<ScheduleException>(() => World(settings, [Node("a", 0, 0) with { Roles = ["coordinator"] }]));
    }

    [Fact]
    public void A_plan_gives_the_faster_node_more_units_and_says_which_node_has_which_rank()
    {
        var bound = Settings("model.layers=12", "parallelism.pipeline=2", "schedule.micro-batches=8");
        var (settings, world) = (bound.Settings, PlanFor(bound.Settings, s_nodes));
        var request = PlanRequests.Of(settings, world, keepsMicroBatches: true) with { Kinds = [new OneForwardOneBackward()], VirtualStages = [1], Spread = 0 };
        var choice = Planner.Find(request).Choice!;
        Assert.Equal(PartitionMethod.Exact, choice.Method);
        var fast = choice.NodeOfRank.IndexOf(0);
        Assert.True(choice.Partition[fast].Count > 2 * choice.Partition[1 - fast].Count);
        Assert.Contains("c estimated by the speed that it says (1.50), b estimated by the speed that it says (0.50)", world.Description, StringComparison.Ordinal);
        var plan = AutomaticPlan.Of(bound, world, choice, []);
        Assert.Equal(choice.NodeOfRank.Select(node => world.Places[node]), plan.Nodes);
        double[] speeds = fast == 0 ? [1.5, 0.5] : [0.5, 1.5];
        Assert.Equal(speeds, plan.RankSpeeds);
        // What its ranks should need is what its units need at their speeds, and what the run is held against.
        var counts = choice.Partition.Select(range => range.Count).ToArray();
        var work = new[] { plan.UnitSeconds.Take(counts[0]).Sum(), plan.UnitSeconds.Skip(counts[0]).Sum() };
        Assert.All(choice.RankBusy.Index(), busy => Assert.Equal(busy.Item, work[busy.Index] / plan.RankSpeeds[busy.Index], 6));
        Assert.Equal(choice.RankBusy.Sum(), 8 * plan.Profile!.For(choice.MicroBatchSize).Sum(unit => unit.Forward + unit.Backward) + plan.Profile.For(choice.MicroBatchSize).Sum(unit => unit.Optimizer), 6);
    }

    [Fact]
    public void Replicas_keep_the_nodes_on_which_each_would_be_placed_together()
    {
        var settings = Settings("parallelism.pipeline=2", "parallelism.data=2", "schedule.micro-batches=8").Settings;
        var world = PlanFor(settings, [.. s_nodes, Node("d", 20, 0)]);
        Assert.True(world.KeepsOrder);
        Assert.Equal(4, world.Places.Distinct().Count());
    }

    [Fact]
    public void Where_each_machine_was_profiled_each_does_units_at_its_own_cost()
    {
        using TemporaryFolder folder = new();
        // The second machine takes three times as long.
        var files = string.Join(',', Write("a", 1), Write("b", 3));
        string[] world = ["plan", "--json", "--precision", "fp32", "--stages", "2", "--profile", files, "--set", "model.layers=12", "--set", "simulation.nodes=2", "--set", "simulation.devices-per-node=1"];
        using var plan = System.Text.Json.JsonDocument.Parse(CommandLineRun.Of(world).Output);
        var plain = plan.RootElement.GetProperty("Candidates").EnumerateArray().First(candidate => candidate.GetProperty("Schedule").GetString() == "1f1b");
        var counts = plain.GetProperty("UnitsOfStages").EnumerateArray().Select(count => count.GetInt32()).ToArray();
        var first = plain.GetProperty("NodeOfRank")[0].GetInt32();
        Assert.True(counts[first] > 2 * counts[1 - first]);
        Assert.Contains("expected one file, or one for each node", CommandLineRun.Of([.. world, "--set", "simulation.nodes=3"]).Error, StringComparison.Ordinal);
        Assert.Contains("node-speeds", CommandLineRun.Of([.. world, "--set", "simulation.node-speeds=2x1.0"]).Error, StringComparison.Ordinal);

        string Write(string machine, double factor) => ProfileStore.Write(Settings("model.layers=12").Settings, Path.Combine(folder.Path, machine + ".json"), Measured(machine, "", factor));
    }

    [Fact]
    public void A_node_that_was_measured_counts_with_its_own_costs_and_another_beside_the_machine_that_was_not_with_what_it_says()
    {
        using TemporaryFolder folder = new();
        var settings = Settings("model.layers=12", "parallelism.pipeline=3", $"data.cache=\"{folder.Path}\"").Settings;
        ProfileStore.Write(settings, null, Measured("a", "a", 1, gigaFlops: 80));
        ProfileStore.Write(settings, null, Measured("b", "b", 4, gigaFlops: 5));
        // Of another arithmetic, and so of nobody.
        ProfileStore.Write(settings with { Precision = PrecisionChoice.Bf16 }, null, Measured("c", "c", 9) with { Precision = "bf16" });
        var costs = ClusterCosts.Of(settings, s_nodes, gigaFlopsHere: 20, flopsHere: 1e10);
        Assert.Equal([true, true, false], s_nodes.Select(node => costs.MeasuredOn(node) is not null));
        Assert.Equal(1, costs.SpeedOf(s_nodes[0]));
        // Four times as long with units, though a product took sixteen times as long.
        Assert.Equal(0.25, costs.SpeedOf(s_nodes[1]), 9);
        // It says 30, and the machine of the profile said 80 when it was measured; what this machine does, 20, has nothing to do with either.
        Assert.Equal(30.0 / 80, costs.SpeedOf(s_nodes[2]), 9);
        var world = ClusterWorld.Of(settings, s_nodes, costs);
        Assert.Contains("a measured (1.00)", world.Description, StringComparison.Ordinal);
        Assert.Contains("b measured (0.25)", world.Description, StringComparison.Ordinal);
        Assert.Contains("c estimated by the speed that it says (0.38)", world.Description, StringComparison.Ordinal);
        // Placed by what is known of them: c is faster than b, and a leads.
        Assert.Equal(["c", "b", "a"], world.Places.Select(place => place[^3..^2]));
        Assert.Equal([false, true, true], world.Pipelines[0].Ranks.Select(rank => rank.Profile is not null));
    }

    [Fact]
    public void Profiles_of_other_machines_alone_say_nothing_of_how_fast_this_one_is()
    {
        using TemporaryFolder folder = new();
        var bare = Settings("model.layers=12").Settings;
        var path = ProfileStore.Write(bare, Path.Combine(folder.Path, "elsewhere.json"), Measured("elsewhere", "", 1, gigaFlops: 60));
        var costs = ClusterCosts.Of(bare with { Profile = path }, s_nodes, gigaFlopsHere: 20, flopsHere: 1e10);
        Assert.All(s_nodes, node => Assert.Equal(node.Speed / 60, costs.SpeedOf(node), 9));
        // It was not written down how fast that machine is: nothing is made up.
        path = ProfileStore.Write(bare, path, Measured("elsewhere", "", 1));
        costs = ClusterCosts.Of(bare with { Profile = path }, s_nodes, gigaFlopsHere: 20, flopsHere: 1e10);
        Assert.All(s_nodes, node => Assert.Equal(1, costs.SpeedOf(node)));
        Assert.Contains("taken as alike", costs.Describe(s_nodes[0]), StringComparison.Ordinal);
        // A machine that is a node of the cluster says it itself.
        path = ProfileStore.Write(bare, path, Measured("b", "", 1));
        costs = ClusterCosts.Of(bare with { Profile = path }, s_nodes, gigaFlopsHere: 20, flopsHere: 1e10);
        Assert.Equal([4.0, 1, 3], s_nodes.Select(costs.SpeedOf));
    }

    [Fact]
    public void Every_node_that_may_hold_stages_is_measured_with_as_many_threads_as_ranks_are_expected_on_its_machine()
    {
        IReadOnlyList<NodeStatus> nodes = [.. s_nodes, Node("d", 5, 0) with { Host = "c" }, Node("e", 99, 0) with { Roles = ["coordinator"] }];
        var targets = ClusterProfiling.Targets(Settings("parallelism.pipeline=3").Settings, nodes);
        Assert.Equal([("a", 1), ("b", 1), ("c", 2), ("d", 2)], targets.Select(target => (target.Node.Name, target.RankCount)));
    }

    private static ClusterWorld World(RunSettings settings, IReadOnlyList<NodeStatus> nodes) => ClusterWorld.Of(settings, nodes, Costs(settings, nodes));

    private static PlanWorld PlanFor(RunSettings settings, IReadOnlyList<NodeStatus> nodes)
    {
        var (costs, world) = (Costs(settings, nodes), World(settings, nodes));
        return new PlanWorld(costs.Plan, world.Pipelines, null, world.Description) { KeepsOrder = settings.Step.ReplicaCount > 1, Places = world.Places };
    }

    private static ClusterCosts Costs(RunSettings settings, IReadOnlyList<NodeStatus> nodes)
    {
        // A folder that is not there holds no profile, whatever the machine has in its own.
        var apart = settings with { Data = settings.Data with { CacheFolder = Path.Combine(Path.GetTempPath(), "no-such-cache") } };
        return ClusterCosts.Of(apart, nodes, gigaFlopsHere: 20, flopsHere: 1e10);
    }

    private static ProfileFile Measured(string machine, string node, double factor, double gigaFlops = 0)
    {
        var units = UnitEstimates.Of(Settings("model.layers=12").Settings, 1e10).BySize[1].Select(unit => unit.At(1 / factor));
        return new ProfileFile(machine, DateTimeOffset.UnixEpoch, "fp32", 0, 0, new() { [1] = [.. units] }, gigaFlops, node);
    }

    [Fact]
    public async Task A_node_answers_with_what_each_can_do()
    {
        using var system = ActorSystem.Create("cluster-world");
        var host = system.ActorOf(Props.Create(() => new Host()));
        var reply = await new HostRequests(host).AnswerAsync(new ControlRequest("", ControlCommand.Status), CancellationToken.None);
        var node = Assert.Single(reply.Status!.Nodes);
        Assert.Equal((4, 123L, 7.5), (node.Threads, node.MemoryBytes, node.Speed));
    }

    private static NodeStatus Node(string name, double speed, long memory) => new(name, 1, ["coordinator", "stage"], $"akka.tcp://pipeline@{name}:1", name, false, 4, memory, speed);

    private static BoundConfiguration Settings(params string[] assignments) =>
        RunSettingsBinder.Settle(RunSettingsBinder.Resolve(ConfigurationSources.None with { Assignments = ConfigurationLayer.FromAssignments(assignments) }), () => false);

    private sealed class Host : ReceiveActor
    {
        public Host() => Receive<OperatorProtocol.AskStatus>(_ => Sender.Tell(new OperatorProtocol.ClusterStatus(
            [new NodeLine("a", 1, ["stage"], "akka.tcp://pipeline@a:1", "a", true, "cpu", 4, 123, 7.5)], [], 0, 0, "idle", "", 0, [])));
    }
}
