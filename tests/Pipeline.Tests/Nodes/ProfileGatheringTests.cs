using System.Net;
using Akka.Actor;
using Pipeline.Nodes;
using Pipeline.Protocol;
using Xunit;
using static Pipeline.Protocol.MembershipProtocol;
using static Pipeline.Protocol.OperatorProtocol;
using static Pipeline.Protocol.ProfileProtocol;

namespace Pipeline.Tests.Nodes;

/// <summary>Nodes are measured one after the other on each machine, and what a run needs goes first.</summary>
public sealed class ProfileGatheringTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);
    private static readonly MeasuredUnits s_costs = new("fp32", 0, 0, [new MeasuredSize(1, [new MeasuredUnit("unit", 1, 2, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1)])]);

    [Fact]
    public void Machines_measure_side_by_side_and_the_nodes_of_one_machine_one_after_the_other()
    {
        var gathering = Gathering("a", "b", "c");
        Assert.Equal(["a", "c"], Asked(gathering));
        Assert.Empty(Asked(gathering));
        gathering.Enter(new UnitsMeasured("id", "c", s_costs, ""));
        Assert.Empty(Asked(gathering));
        gathering.Enter(new UnitsMeasured("id", "a", null, "It is at a run."));
        Assert.False(gathering.IsOver);
        Assert.Equal(["b"], Asked(gathering));
        gathering.Enter(new UnitsMeasured("id", "b", s_costs, ""));
        Assert.True(gathering.IsOver);
        Assert.Equal([("a", "failed", "It is at a run."), ("b", "measured", ""), ("c", "measured", "")], gathering.Standing.Select(node => (node.Address, node.Phase, node.Sentence)));
        Assert.Equal([false, true, true], new[] { "a", "b", "c" }.Select(node => gathering.Of(node) is not null));
    }

    [Fact]
    public void What_nobody_asked_for_is_not_taken_and_a_lost_node_holds_nobody_up()
    {
        var gathering = Gathering("a", "b", "elsewhere", "mute");
        Assert.Equal(["elsewhere is failed: It is not there any more.", "mute is failed: It does not have the role stage, and will hold no units."], gathering.Standing.Where(node => node.Phase == "failed").Select(node => $"{node.Address} is failed: {node.Sentence}"));
        Assert.Equal(["a"], Asked(gathering));
        gathering.Enter(new UnitsMeasured("another", "a", s_costs, ""));
        gathering.Enter(new UnitsMeasured("id", "b", s_costs, ""));
        Assert.Null(gathering.Of("a"));
        Assert.Null(gathering.Of("b"));
        Assert.True(gathering.Lose("a"));
        // Its process may still compute, beside which b would be measured slower than it is.
        Assert.Empty(Asked(gathering));
        gathering.Free("a");
        Assert.Equal(["b"], Asked(gathering));
        var many = s_costs with { Sizes = [.. Enumerable.Repeat(s_costs.Sizes[0], MostCosts + 1)] };
        gathering.Enter(new UnitsMeasured("id", "b", many, ""));
        Assert.Equal("It answered with more than it was asked.", gathering.Standing[1].Sentence);
        Assert.True(gathering.IsOver);
        gathering = Gathering("c");
        Asked(gathering);
        gathering.Enter(new UnitsMeasured("id", "c", s_costs with { HopLatency = double.NaN }, ""));
        Assert.Equal("It answered with times that are no numbers.", Assert.Single(gathering.Standing).Sentence);
    }

    [Fact]
    public void A_node_that_was_lost_while_it_measured_keeps_its_machine_until_it_answers_and_one_that_only_waited_keeps_none()
    {
        var gathering = Gathering("a", "b", "c");
        Assert.Equal(["a", "c"], Asked(gathering));
        Assert.False(gathering.Lose("b"));
        Assert.True(gathering.Lose("a"));
        Assert.False(gathering.Lose("a"));
        gathering = Gathering("a", "b");
        Asked(gathering);
        gathering.Lose("a");
        gathering.Free("elsewhere");
        Assert.Empty(Asked(gathering));
        // What it answers late is not taken, but says that it has ended.
        gathering.Enter(new UnitsMeasured("id", "a", s_costs, ""));
        Assert.Equal(["b"], Asked(gathering));
        Assert.Null(gathering.Of("a"));
        // One that measures is not freed by a word about its like.
        gathering.Free("b");
        Assert.Equal("measuring", gathering.Standing[1].Phase);
        Assert.Equal(TimeSpan.FromSeconds(30 + (2 * 5)), new ProfileGathering(new ProfileNodes("id", "", [1, 2], 5, []), []).LongestRest);
    }

    [Fact]
    public void A_run_that_is_submitted_ends_what_has_not_ended()
    {
        var gathering = Gathering("a", "b");
        Asked(gathering);
        gathering.GiveUp("A run goes first.");
        Assert.True(gathering.IsOver);
        Assert.Empty(Asked(gathering));
        gathering.Enter(new UnitsMeasured("id", "a", s_costs, ""));
        Assert.All(gathering.Standing, node => Assert.Equal("A run goes first.", node.Sentence));
    }

    [Fact]
    public async Task A_node_that_is_at_a_run_refuses_and_one_that_hears_of_a_run_while_it_measures_stops()
    {
        using var system = ActorSystem.Create("profiled");
        TaskCompletionSource<CancellationToken> begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var member = system.ActorOf(MemberActor.Props(Self(), _ => { }, () => [], null, (_, stop) =>
        {
            begun.TrySetResult(stop);
            return Task.Delay(Timeout.InfiniteTimeSpan, stop).ContinueWith(_ => s_costs, stop, TaskContinuationOptions.None, TaskScheduler.Default);
        }));
        MeasureUnits ask = new("id", "", [1], 0, 1);
        var first = member.Ask<UnitsMeasured>(ask, s_patience);
        var stop = await begun.Task;
        Assert.Contains("measures already", (await member.Ask<UnitsMeasured>(ask with { Id = "other" }, s_patience)).Fault, StringComparison.Ordinal);
        member.Tell(new AnnounceRun(new SubmitRun("", "/runs/one", 0, 1, "start", false)));
        var refused = await first;
        Assert.True(stop.IsCancellationRequested);
        Assert.Equal(("id", "a", "A run was submitted meanwhile, and goes first."), (refused.Id, refused.Address, refused.Fault));
        Assert.Contains("at the run in /runs/one", (await member.Ask<UnitsMeasured>(ask, s_patience)).Fault, StringComparison.Ordinal);
        member.Tell(new ForgetRun("start"));
        var again = member.Ask<UnitsMeasured>(ask, s_patience);
        Assert.Contains("measures already", (await member.Ask<UnitsMeasured>(ask with { Id = "other" }, s_patience)).Fault, StringComparison.Ordinal);
        await system.Terminate();
        // The node's end is the measurement's.
        _ = again.ContinueWith(static _ => { }, TaskScheduler.Default);
    }

    [Fact]
    public async Task A_measurement_that_another_leader_asks_for_again_while_it_goes_on_is_answered_to_that_leader()
    {
        using var system = ActorSystem.Create("profiled");
        TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource<MeasuredUnits> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var member = system.ActorOf(MemberActor.Props(Self(), _ => { }, () => [], null, (_, _) =>
        {
            begun.TrySetResult();
            return ended.Task;
        }));
        MeasureUnits ask = new("id", "", [1], 0, 1);
        member.Tell(ask, ActorRefs.Nobody);
        await begun.Task;
        var answer = member.Ask<UnitsMeasured>(ask, s_patience);
        // What is asked after it is answered at once: then it has been heard.
        Assert.Contains("measures already", (await member.Ask<UnitsMeasured>(ask with { Id = "other" }, s_patience)).Fault, StringComparison.Ordinal);
        ended.SetResult(s_costs);
        Assert.Equal(s_costs, (await answer).Costs);
    }

    [Fact]
    public async Task A_measurement_that_fails_is_answered_with_its_reason_and_one_that_succeeds_with_the_costs()
    {
        using var system = ActorSystem.Create("profiled");
        var isFirst = true;
        var member = system.ActorOf(MemberActor.Props(Self(), _ => { }, () => [], null, (_, _) =>
        {
            var fails = isFirst;
            isFirst = false;
            return fails ? Task.FromException<MeasuredUnits>(new InvalidOperationException("There is no room.")) : Task.FromResult(s_costs);
        }));
        MeasureUnits ask = new("id", "", [1], 0, 1);
        var failed = await member.Ask<UnitsMeasured>(ask, s_patience);
        Assert.Equal((null, "There is no room."), (failed.Costs, failed.Fault));
        Assert.Equal(s_costs, (await member.Ask<UnitsMeasured>(ask, s_patience)).Costs);
        await system.Terminate();
    }

    [Fact]
    public async Task What_was_measured_passes_the_control_port_as_it_is()
    {
        await using var server = ControlServer.Start(new IPEndPoint(IPAddress.Loopback, 0), ControlServer.NewToken(), (request, _) => Task.FromResult(
            new ControlReply(true, FormattableString.Invariant($"{request.Profile!.Nodes[0]} {request.Profile.Seconds}"), Profiled: [new ProfiledStatus("a", "measured", "")], Costs: s_costs)));
        var reply = await ControlClient.AskAsync(server.Address, new ControlRequest(server.Token, ControlCommand.Profile, Profile: new ProfileRequest("id", "text", [1, 2], 0.5, [new ProfileTarget("a", 2)])), s_patience);
        Assert.Equal("ProfileTarget { Address = a, Ranks = 2 } 0.5", reply!.Message);
        Assert.Equal([new ProfiledStatus("a", "measured", "")], reply.Profiled!);
        Assert.Equal(s_costs.Sizes[0].Units, reply.Costs!.Sizes[0].Units);
    }

    private static string[] Asked(ProfileGathering gathering) => [.. gathering.TakeNext().Select(next => next.Address)];

    // Nodes a and b share a machine.
    private static ProfileGathering Gathering(params string[] addresses) => new(
        new ProfileNodes("id", "", [1], 0, [.. addresses.Select(address => new ProfiledNode(address, 1))]),
        [Info("a", "one"), Info("b", "one"), Info("c", "two"), Info("mute", "three") with { Roles = ["coordinator"] }]);

    private static NodeInfo Info(string address, string host) => new(new NodeId(address, 1), "", [NodeInfo.StageRole], "cpu", 1, 0, 1, host, "");

    private static NodeDescribed Self() => new("a", 1, "", Info("a", "one"), null, new PlatformFingerprint("", 0, "", [], "", ""), []);
}
