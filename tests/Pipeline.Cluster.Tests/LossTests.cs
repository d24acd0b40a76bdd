using System.Globalization;
using System.Runtime.Versioning;
using System.Text.RegularExpressions;
using Pipeline.Chaos;
using Pipeline.Nodes;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>Processes of a run are killed, frozen and asked to leave; the run ends with 0 and with the bits of the unsplit trainer, each step once.</summary>
[SupportedOSPlatform("linux")]
[Collection(BusyCollection.Name)]
public sealed class LossTests(TinyTraining tiny)
{
    private const int Steps = 40;

    [Fact]
    public async Task A_killed_stage_is_replaced_one_that_freezes_for_a_second_stays_and_a_killed_leader_is_succeeded()
    {
        using var train = Start("one-by-one");
        var status = await RunningAsync("one-by-one", after: 0);
        Signals.Send(StageOf(status).Pid, Signal.Kill);
        status = await RunningAsync("one-by-one", status.Generation);

        var frozen = StageOf(status).Pid;
        Signals.Send(frozen, Signal.Stop);
        await Task.Delay(TimeSpan.FromSeconds(1));
        Signals.Send(frozen, Signal.Continue);
        var step = status.Step;
        var later = await tiny.StatusAsync("one-by-one", status => status.Step > step + 3);
        Assert.Equal(status.Generation, later.Generation);

        Signals.Send(later.Nodes.Single(node => node.Coordinates).Pid, Signal.Kill);
        await RunningAsync("one-by-one", later.Generation);
        await EndsWellAsync("one-by-one", train);
    }

    [Fact]
    public async Task Stages_go_on_while_nobody_leads_for_more_steps_than_they_are_always_granted()
    {
        using var train = Start("alone");
        var status = await RunningAsync("alone", after: 0);
        var leader = status.Nodes.Single(node => node.Coordinates);
        Assert.DoesNotContain(status.Stages, stage => stage.Node == leader.Name);
        Signals.Send(leader.Pid, Signal.Kill);
        Assert.True(await Signals.EndsAsync(leader.Pid));
        var recorded = RecordedSteps("alone").Length;
        await RunningAsync("alone", status.Generation);
        // The step that the leader died at may not be written.
        Assert.True(FoundAt("alone") > recorded + 5, $"The stages had come to step {FoundAt("alone")} when another led; {recorded} were recorded before.");
        await EndsWellAsync("alone", train);
    }

    private long[] RecordedSteps(string run) => [.. MetricsReader.Read(new RunFiles(tiny.In(run)).Metrics).OfType<StepMetrics>().Select(line => line.Step)];

    /// <summary>How far the stages were when the next leader first asked them.</summary>
    private long FoundAt(string run)
    {
        var line = File.ReadLines(new RunFiles(tiny.In(run)).Events).Last(line => line.Contains("the coordinator was replaced", StringComparison.Ordinal));
        return long.Parse(Regex.Match(line, @"had come to step (\d+)").Groups[1].ValueSpan, CultureInfo.InvariantCulture);
    }

    [Fact]
    public async Task Leader_and_stage_killed_at_once_are_replaced()
    {
        using var train = Start("both");
        var status = await RunningAsync("both", after: 0);
        Signals.Send(status.Nodes.Single(node => node.Coordinates).Pid, Signal.Kill);
        Signals.Send(StageOf(status).Pid, Signal.Kill);
        await RunningAsync("both", status.Generation);
        await EndsWellAsync("both", train);
    }

    [Fact]
    public async Task A_node_that_is_told_to_leave_hands_over_and_one_that_wakes_after_its_replacement_ends()
    {
        using var train = Start("left");
        var status = await RunningAsync("left", after: 0);
        var drained = StageOf(status);
        Signals.Send(drained.Pid, Signal.Terminate);
        status = await tiny.StatusAsync("left", now => now.Generation > status.Generation && now.Nodes.All(node => node.Name != drained.Name) && now.Phase == "running");

        var zombie = StageOf(status);
        Signals.Send(zombie.Pid, Signal.Stop);
        await RunningAsync("left", status.Generation);
        Signals.Send(zombie.Pid, Signal.Continue);
        Assert.True(await Signals.EndsAsync(zombie.Pid), "The woken node is still there.");
        await EndsWellAsync("left", train);
        Assert.Contains($"{drained.Name} (pid {drained.Pid}) is gone, exit code 0", train.Output, StringComparison.Ordinal);
        Assert.Contains($"{zombie.Name} (pid {zombie.Pid}) is gone, exit code 1", train.Output, StringComparison.Ordinal);
        Assert.Contains("The node has left the cluster.", LastWords(drained));
        // Whichever it hears first: it was fenced, downed or quarantined.
        Assert.Contains(LastWords(zombie), line => line.StartsWith("The node was ", StringComparison.Ordinal) && line.EndsWith(" Start it anew; it joins as a new node.", StringComparison.Ordinal));

        // Two streams come together in the log: the last line of one may not be the last of all.
        IEnumerable<string> LastWords(NodeStatus node) => File.ReadLines(Path.Combine(new RunFiles(tiny.In("left")).Logs, $"{node.Name}.log")).TakeLast(4);
    }

    [Fact]
    public async Task Processes_that_die_one_after_the_other_at_each_point_of_a_run_are_replaced()
    {
        // The last ranks that die lie together on a node that does not lead.
        (int Rank, int Step, string At)[] faults = [(1, 0, "load"), (0, 6, "forward"), (2, 9, "backward"), (1, 13, "optimizer"), (0, 16, "copy"), (2, 20, "save"), (1, 30, "evaluate")];
        string[] struck = [.. faults.Select(fault => tiny.In($"struck-at-{fault.At}"))];
        var variable = string.Join(';', faults.Zip(struck, (fault, file) => FormattableString.Invariant($"rank={fault.Rank},step={fault.Step},at={fault.At},once={file}")));
        using var train = ProgramRun.Start(new Dictionary<string, string> { ["PIPELINE_FAULT"] = variable }, tiny.Arguments("points", Steps, "--stages", "3", "--processes", "8"));
        var code = await train.EndAsync();
        Assert.True(code == 0, train.Output);
        Assert.All(struck, file => Assert.True(File.Exists(file), file));
        Assert.Equal((await tiny.ReferenceAsync(Steps)).Lines, RunBits.Of(tiny.In("points")).Lines);
    }

    [Fact]
    public async Task A_process_that_replays_for_one_that_died_may_die_at_the_same_step_and_is_replaced_as_well()
    {
        string[] struck = [tiny.In("struck-first"), tiny.In("struck-while-replaying")];
        // Whoever computes the step first dies at its forward, and so comes to no optimizer: whoever does is the one that runs it again.
        var variable = $"rank=1,step=13,at=forward,once={struck[0]};rank=1,step=13,at=optimizer,once={struck[1]}";
        using var train = ProgramRun.Start(new Dictionary<string, string> { ["PIPELINE_FAULT"] = variable }, tiny.Arguments("again", TinyTraining.Steps, "--stages", "2", "--processes", "5"));
        var code = await train.EndAsync();
        Assert.True(code == 0, train.Output);
        Assert.All(struck, file => Assert.True(File.Exists(file), file));
        Assert.Equal((await tiny.ReferenceAsync()).Lines, RunBits.Of(tiny.In("again")).Lines);
    }

    private static NodeStatus StageOf(ControlStatus status) =>
        status.Nodes.First(node => !node.Coordinates && status.Stages.Any(stage => stage.Node == node.Name));

    /// <summary>A run that is ended by command: what is done to it takes as long as it takes.</summary>
    private ProgramRun Start(string run) => ProgramRun.Start(tiny.Arguments(run, 1_000_000, "--stages", "3", "--processes", "4"));

    /// <summary>Steps are committed in a generation after the given one.</summary>
    private async Task<ControlStatus> RunningAsync(string run, int after)
    {
        var first = await tiny.StatusAsync(run, status => status.Generation > after && status.Phase == "running" && status.Step > 0 && status.Stages.Count == 3);
        return await tiny.StatusAsync(run, status => status.Step >= first.Step + 3);
    }

    /// <summary>Stops the run, and computes every step of it again, unsplit.</summary>
    private async Task EndsWellAsync(string run, ProgramRun train)
    {
        var (code, output) = await ProgramRun.ToEndAsync("ctl", "stop", "--yes", "--run", tiny.In(run));
        Assert.True(code == 0, output + train.Output);
        Assert.True(await train.EndAsync() == 0, train.Output);
        var steps = RecordedSteps(run);
        Assert.Equal(Enumerable.Range(1, steps.Length).Select(step => (long)step), steps);
        (code, output) = await ProgramRun.ToEndAsync("verify", tiny.In(run), "--from", "0", "--steps", $"{steps.Length}");
        Assert.True(code == 0, output);
    }
}
