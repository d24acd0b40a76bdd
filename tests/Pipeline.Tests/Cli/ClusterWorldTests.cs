using Akka.Actor;
using Pipeline.Cli.Configuration;
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
        var pipeline = Assert.Single(ClusterWorld.Pipelines(Settings("parallelism.pipeline=3").Settings, s_nodes, speedHere: 20));
        Assert.Equal([1.5, 0.5, 2], pipeline.Ranks.Select(rank => rank.Speed));
        Assert.Equal([4_800_000_000, 6_400_000_000], pipeline.Ranks.Skip(1).Select(rank => rank.MemoryBytes));
        Assert.True(pipeline.Ranks[0].MemoryBytes > 1L << 60);
    }

    [Fact]
    public void Ranks_of_one_node_share_its_memory_and_take_turns_where_it_has_too_few_processors()
    {
        var pipeline = Assert.Single(ClusterWorld.Pipelines(Settings("parallelism.pipeline=4").Settings, [Node("a", 20, 8_000_000_000) with { Threads = 2 }], speedHere: 20));
        Assert.All(pipeline.Ranks, rank => Assert.Equal(new NodeCapacity(0.5, 1_600_000_000), rank));
        // Not measured: as fast as this machine.
        Assert.Equal(1, ClusterWorld.Pipelines(Settings("parallelism.pipeline=2").Settings, [Node("a", 0, 0)], speedHere: 20)[0].Ranks[0].Speed);
        Assert.Throws<ScheduleException>(() => ClusterWorld.Pipelines(Settings("parallelism.pipeline=2").Settings, [Node("a", 0, 0) with { Roles = ["coordinator"] }], speedHere: 20));
    }

    [Fact]
    public void A_plan_gives_the_faster_node_more_units_in_the_order_of_the_placement()
    {
        var settings = Settings("model.layers=12", "parallelism.pipeline=2", "schedule.micro-batches=8").Settings;
        var pipelines = ClusterWorld.Pipelines(settings, s_nodes, speedHere: 20);
        PlanWorld world = new(UnitEstimates.Of(settings, 1e10), pipelines, null, ClusterWorld.Describe(settings, s_nodes, pipelines)) { KeepsOrder = true };
        var request = PlanRequests.Of(settings, world, keepsMicroBatches: true) with { Kinds = [new OneForwardOneBackward()], VirtualStages = [1], Spread = 0 };
        var choice = Planner.Find(request).Choice!;
        Assert.Equal((PartitionMethod.GivenOrder, 2), (choice.Method, choice.NodeOfRank.Length));
        Assert.Equal([0, 1], choice.NodeOfRank.Select(node => node));
        Assert.True(choice.Partition[0].Count > 2 * choice.Partition[1].Count);
        Assert.Contains("1.50, 0.50", world.Description, StringComparison.Ordinal);
        // The slow one first: a search that may choose would turn them round.
        var turned = Planner.Find(request with { Ranks = [.. request.Ranks.Reverse()], Pipelines = [] }).Choice!;
        Assert.Equal([0, 1], turned.NodeOfRank.Select(node => node));
        Assert.True(turned.Partition[1].Count > turned.Partition[0].Count);
    }

    [Fact]
    public void Where_each_node_was_profiled_speeds_are_those_of_its_units()
    {
        using TemporaryFolder folder = new();
        // The second machine takes three times as long.
        var units = UnitEstimates.Of(Settings("model.layers=12").Settings, 1e10).BySize[1];
        var files = string.Join(',', Write("a", 1), Write("b", 3));
        var speeds = ProfileStore.Speeds(Settings("model.layers=12", $"profile=\"{files}\"").Settings);
        Assert.Equal(["a", "b"], speeds.Select(one => one.Machine));
        Assert.Equal(3, speeds[0].Speed / speeds[1].Speed, 9);
        string[] world = ["plan", "--json", "--precision", "fp32", "--stages", "2", "--profile", files, "--set", "model.layers=12", "--set", "simulation.nodes=2", "--set", "simulation.devices-per-node=1"];
        using var plan = System.Text.Json.JsonDocument.Parse(CommandLineRun.Of(world).Output);
        var plain = plan.RootElement.GetProperty("Candidates").EnumerateArray().First(candidate => candidate.GetProperty("Schedule").GetString() == "1f1b");
        var counts = plain.GetProperty("UnitsOfStages").EnumerateArray().Select(count => count.GetInt32()).ToArray();
        var first = plain.GetProperty("NodeOfRank")[0].GetInt32();
        Assert.True(counts[first] > 2 * counts[1 - first]);
        Assert.Contains("expected one file, or one for each node", CommandLineRun.Of([.. world, "--set", "simulation.nodes=3"]).Error, StringComparison.Ordinal);
        Assert.Contains("node-speeds", CommandLineRun.Of([.. world, "--set", "simulation.node-speeds=2x1.0"]).Error, StringComparison.Ordinal);

        var cluster = Assert.Single(ClusterWorld.Pipelines(Settings("parallelism.pipeline=2").Settings, s_nodes, speedHere: 20, [("b", 4), ("elsewhere", 9)]));
        // The placement still goes by what nodes say: c before b.
        Assert.Equal([1.5, 4], cluster.Ranks.Select(rank => rank.Speed));

        string Write(string machine, double factor)
        {
            var path = Path.Combine(folder.Path, machine + ".json");
            ProfileFile file = new(machine, DateTimeOffset.UnixEpoch, "fp32", 0, 0, new() { [1] = [.. units.Select(unit => Slower(unit, factor))] });
            return ProfileStore.Write(Settings().Settings, path, file);
        }
    }

    private static UnitProfile Slower(UnitProfile unit, double factor) => unit with
    {
        Forward = unit.Forward * factor,
        Backward = unit.Backward * factor,
        InputGradient = unit.InputGradient * factor,
        WeightGradient = unit.WeightGradient * factor,
    };

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
