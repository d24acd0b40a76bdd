using System.Collections.Concurrent;
using Akka.Actor;
using Akka.Cluster;
using Pipeline.Nodes;
using Pipeline.Protocol;
using Pipeline.Protocol.Security;
using Pipeline.Stages;
using Pipeline.Tests.Protocol.Security.Guard;
using Xunit;
using static Pipeline.Protocol.MembershipProtocol;
using static Pipeline.Protocol.OperatorProtocol;
using static Pipeline.Protocol.ProfileProtocol;

namespace Pipeline.Tests.Nodes;

/// <summary>How whoever leads a cluster has its nodes measured: two nodes of one machine, members of a real cluster on loopback, whose measurements end when the test says so.</summary>
public sealed class HostedProfilingTests : IAsyncLifetime
{
    private const string Membership = "akka { actor.provider = cluster, cluster { gossip-interval = 100ms, leader-actions-interval = 100ms, periodic-tasks-initial-delay = 50ms, allow-weakly-up-members = off } }";
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);
    private static readonly MeasuredUnits s_costs = new("fp32", 0, 0, [new MeasuredSize(1, [new MeasuredUnit("unit", 1, 2, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1)])]);
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-measured-").FullName;
    private readonly GuardedNode _first = new(null, PeerRoles.Coordinator | PeerRoles.Stage, Membership, trusted: "/user/" + MemberActor.Name);
    private readonly GuardedNode _second = new(null, PeerRoles.Coordinator | PeerRoles.Stage, Membership, trusted: "/user/" + MemberActor.Name);
    private readonly Measurer _onFirst = new();
    private readonly Measurer _onSecond = new();
    private IActorRef _host = ActorRefs.Nobody;

    public async Task InitializeAsync()
    {
        using CancellationTokenSource limit = new(s_patience);
        await Cluster.Get(_first.System).JoinAsync(_first.Address, limit.Token);
        await Cluster.Get(_second.System).JoinSeedNodesAsync([_first.Address], limit.Token);
        var leader = Describe(_first, "first");
        _first.System.ActorOf(MemberActor.Props(leader, _ => { }, () => [], null, _onFirst.MeasureAsync), MemberActor.Name);
        _second.System.ActorOf(MemberActor.Props(Describe(_second, "second"), _ => { }, () => [], null, _onSecond.MeasureAsync), MemberActor.Name);
        _host = _first.System.ActorOf(RunHostActor.Props(new NoRuns(), () => leader, (_, _) => { }, (_, _) => Task.FromResult<IRunAttendance?>(null), () => { }), "host");
        await UntilAsync(async () => (await _host.Ask<ClusterStatus>(new AskStatus(), s_patience)).Nodes.Count == 2);
    }

    public async Task DisposeAsync()
    {
        await _first.DisposeAsync();
        await _second.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task Nodes_of_one_machine_are_measured_in_turn_for_one_asker_who_fetches_what_each_has_measured()
    {
        var ask = Ask(_first, _second);
        Assert.Equal(["measuring", "waiting"], await PhasesAsync(ask));
        var elsewhere = await _host.Ask<ProfileStanding>(ask with { Id = "other" }, s_patience);
        Assert.Equal((false, true), (elsewhere.IsDone, elsewhere.Sentence.Contains("are being measured for somebody else", StringComparison.Ordinal)));
        Assert.Null((await _host.Ask<UnitsMeasured>(new FetchProfile("id", AddressOf(_first)), s_patience)).Costs);

        _onFirst.Next().End.SetResult(s_costs);
        var onSecond = _onSecond.Next();
        Assert.Equal(("id", 2), (onSecond.Ask.Id, onSecond.Ask.RankCount));
        Assert.Equal(["measured", "measuring"], await PhasesAsync(ask));
        onSecond.End.SetException(new InvalidOperationException("There is no room."));
        await UntilAsync(async () => (await PhasesAsync(ask))[1] == "failed");
        Assert.Equal("There is no room.", (await _host.Ask<ProfileStanding>(ask, s_patience)).Nodes[1].Sentence);
        var fetched = await _host.Ask<UnitsMeasured>(new FetchProfile("id", AddressOf(_first)), s_patience);
        Assert.Equal(s_costs.Sizes[0].Units, fetched.Costs!.Sizes[0].Units);

        // Over, it makes room for another, of which nothing is known of the first.
        Assert.True((await _host.Ask<ProfileStanding>(ask with { Id = "other" }, s_patience)).IsDone);
        Assert.Contains("Measure again", (await _host.Ask<UnitsMeasured>(new FetchProfile("id", AddressOf(_first)), s_patience)).Fault, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_run_that_is_submitted_goes_first_and_after_its_end_is_measured_again()
    {
        var ask = Ask(_second, _first);
        Assert.Equal(["measuring", "waiting"], await PhasesAsync(ask));
        var measured = _onSecond.Next();
        Assert.True((await _host.Ask<Answer>(new SubmitRun("", _folder, 0, 1, "start", false), s_patience)).IsDone);
        Assert.All((await _host.Ask<ProfileStanding>(ask, s_patience)).Nodes, node => Assert.Equal(("failed", $"A run was submitted meanwhile, in {_folder}, and goes first. Measure after its end."), (node.Phase, node.Sentence)));
        // The node has heard of it as well, and stops between two rounds.
        await UntilAsync(() => Task.FromResult(measured.Stop.IsCancellationRequested));
        measured.End.SetCanceled(measured.Stop);
        // The run cannot be opened here, and is over with that.
        await UntilAsync(async () => (await _host.Ask<ProfileStanding>(ask with { Id = "after" }, s_patience)).IsDone);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_machine_of_a_node_that_was_lost_while_it_measured_is_free_once_its_process_has_ended_or_has_had_the_time_to(bool isSeen)
    {
        var (ask, lost) = (Ask(_second, _first), _second.Address);
        Assert.Equal(["measuring", "waiting"], await PhasesAsync(ask));
        Cluster.Get(_first.System).Down(lost);
        await UntilAsync(async () => (await PhasesAsync(ask))[0] == "failed");
        Assert.Equal("waiting", (await PhasesAsync(ask))[1]);
        Assert.True(_onFirst.IsIdle);
        if (isSeen) _first.System.EventStream.Publish(new ProcessGone(lost));
        else _host.Tell(new RunHostActor.ProfiledRestTick(lost));
        _onFirst.Next().End.SetResult(s_costs);
        await UntilAsync(async () => (await PhasesAsync(ask))[1] == "measured");
    }

    private async Task<string[]> PhasesAsync(ProfileNodes ask) => [.. (await _host.Ask<ProfileStanding>(ask, s_patience)).Nodes.Select(node => node.Phase)];

    private static async Task UntilAsync(Func<Task<bool>> isSo)
    {
        var start = TimeProvider.System.GetTimestamp();
        while (!await isSo())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(start) < s_patience);
            await Task.Delay(20);
        }
    }

    private static ProfileNodes Ask(params GuardedNode[] nodes) => new("id", "", [1], 0, [.. nodes.Select((node, index) => new ProfiledNode(AddressOf(node), index + 1))]);

    private static string AddressOf(GuardedNode node) => Cluster.Get(node.System).SelfAddress.ToString();

    private static NodeDescribed Describe(GuardedNode node, string name)
    {
        var self = Cluster.Get(node.System).SelfUniqueAddress;
        NodeInfo info = new(new NodeId(self.Address.ToString(), self.Uid), "", [NodeInfo.StageRole, NodeInfo.CoordinatorRole], "cpu", 1, 0, 1, "machine", "");
        return new NodeDescribed(name, 1, "", info, null, ThisPlatform.Fingerprint(""), []);
    }

    /// <summary>Measures for as long as the test lets it.</summary>
    private sealed class Measurer
    {
        private readonly BlockingCollection<Measurement> _begun = [];

        internal bool IsIdle => _begun.Count == 0;

        internal Task<MeasuredUnits> MeasureAsync(MeasureUnits ask, CancellationToken stop)
        {
            Measurement begun = new(ask, new(TaskCreationOptions.RunContinuationsAsynchronously), stop);
            _begun.Add(begun, CancellationToken.None);
            return begun.End.Task;
        }

        internal Measurement Next() => _begun.TryTake(out var begun, s_patience) ? begun : throw new TimeoutException("Nobody asked the node to measure.");
    }

    private sealed record Measurement(MeasureUnits Ask, TaskCompletionSource<MeasuredUnits> End, CancellationToken Stop);

    private sealed class NoRuns : IRunSource
    {
        public IStageWorkloadFactory Workloads => throw new NotSupportedException();

        public ILedRun Open(RunSubmission submission, string leader) => throw new InvalidOperationException("No run can be opened here.");
    }
}
