using System.Runtime.Versioning;
using Pipeline.Chaos;
using Pipeline.Nodes;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>Processes of a run are killed, frozen and asked to leave; the run ends with 0 and with the bits of the unsplit trainer, each step once.</summary>
[SupportedOSPlatform("linux")]
public sealed class LossTests(TinyTraining tiny) : IClassFixture<TinyTraining>
{
    private const int Steps = 100;

    [Fact]
    public Task A_killed_stage_is_replaced_and_alone_computes_again() =>
        SurvivesAsync("stage", status => [StageOf(status)], Signal.Kill);

    [Fact]
    public Task A_killed_leader_is_succeeded() =>
        SurvivesAsync("leader", status => [status.Nodes.Single(node => node.Coordinates)], Signal.Kill);

    [Fact]
    public Task Leader_and_stage_killed_at_once_are_replaced() =>
        SurvivesAsync("both", status => [status.Nodes.Single(node => node.Coordinates), StageOf(status)], Signal.Kill);

    [Fact]
    public async Task A_node_that_is_told_to_leave_hands_its_stages_over()
    {
        var left = await SurvivesAsync("drained", status => [StageOf(status)], Signal.Terminate);
        Assert.Contains($"{left.Victims[0].Name} (pid {left.Victims[0].Pid}) is gone, exit code 0", left.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_node_that_freezes_for_a_second_is_left_where_it_is()
    {
        using var train = Start("frozen");
        var status = await tiny.StatusAsync("frozen", status => status.Step >= 10);
        var stage = StageOf(status);
        Signals.Send(stage.Pid, Signal.Stop);
        await Task.Delay(TimeSpan.FromSeconds(1));
        Signals.Send(stage.Pid, Signal.Continue);
        await EndsWellAsync("frozen", train);
        Assert.DoesNotContain("\"event\":\"recovering\"", File.ReadAllText(new RunFiles(tiny.In("frozen")).Events), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("rank=1,step=0,at=load")]
    [InlineData("rank=1,step=19,at=optimizer")]
    [InlineData("rank=0,step=20,at=copy")]
    [InlineData("rank=2,step=20,at=save")]
    public async Task A_process_that_dies_at_any_point_is_replaced(string fault)
    {
        var run = "at-" + fault[(fault.LastIndexOf('=') + 1)..];
        using var train = Start(run, new Dictionary<string, string> { ["PIPELINE_FAULT"] = fault });
        await EndsWellAsync(run, train);
        Assert.Contains("\"event\":\"recovering\"", File.ReadAllText(new RunFiles(tiny.In(run)).Events), StringComparison.Ordinal);
    }

    private static NodeStatus StageOf(ControlStatus status) =>
        status.Nodes.First(node => !node.Coordinates && status.Stages.Any(stage => stage.Node == node.Name));

    private ProgramRun Start(string run, IReadOnlyDictionary<string, string>? variables = null) =>
        ProgramRun.Start(variables ?? new Dictionary<string, string>(), tiny.Arguments(run, Steps, "--stages", "3", "--processes", "4"));

    private async Task<(NodeStatus[] Victims, string Output)> SurvivesAsync(string run, Func<ControlStatus, NodeStatus[]> choose, Signal signal)
    {
        using var train = Start(run);
        var victims = choose(await tiny.StatusAsync(run, status => status.Step >= 12));
        foreach (var victim in victims) Signals.Send(victim.Pid, signal);
        await EndsWellAsync(run, train);
        Assert.All(victims, victim => Assert.False(Signals.IsAlive(victim.Pid)));
        return (victims, train.Output);
    }

    private async Task EndsWellAsync(string run, ProgramRun train)
    {
        var code = await train.EndAsync();
        Assert.True(code == 0, train.Output);
        Assert.Equal((await tiny.ReferenceAsync(Steps)).Lines, RunBits.Of(tiny.In(run)).Lines);
    }
}
