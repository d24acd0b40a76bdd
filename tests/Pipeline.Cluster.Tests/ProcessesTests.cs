using System.Runtime.Versioning;
using Pipeline.Chaos;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary><c>train --processes</c> in real processes: the bits, the life and death of the children, what may be relied on at the edge.</summary>
[SupportedOSPlatform("linux")]
[Collection(BusyCollection.Name)]
public sealed class ProcessesTests(TinyTraining tiny)
{
    [Theory]
    [InlineData(2, 2, "unix", "zb-h1", "fp32")]
    [InlineData(3, 3, "tcp", "zb-v", "bf16")]
    [InlineData(4, 3, "akka", "1f1b", "fp32")]
    public async Task Processes_give_the_bits_of_the_unsplit_trainer_over_each_kind_of_link_and_kind_of_schedule(int processes, int stages, string kind, string schedule, string precision)
    {
        var run = $"equal-{processes}";
        string[] arithmetic = precision == "fp32" ? [] : ["--precision", precision];
        // A machine that is busy for seconds is no reason to recover here: it is the whole run that is looked at.
        var (code, output) = await ProgramRun.ToEndAsync(tiny.Arguments(
            run, TinyTraining.Steps,
            [.. arithmetic, "--stages", $"{stages}", "--processes", $"{processes}", "--schedule", schedule, "--set", $"link.kind={kind}", "--set", "cluster.suspect-after=60"]));
        Assert.True(code == 0, output);
        Assert.DoesNotContain("recovering", File.ReadAllText(new RunFiles(tiny.In(run)).Events), StringComparison.Ordinal);
        Assert.Equal((await tiny.ReferenceAsync(TinyTraining.Steps, arithmetic)).Lines, RunBits.Of(tiny.In(run)).Lines);
        Assert.False(File.Exists(new RunFiles(tiny.In(run)).Endpoint));
        Assert.True(File.Exists(new RunFiles(tiny.In(run)).LossPlot));
        // What the leader has found of the prediction is said where the run was started.
        Assert.Contains("prediction costs are", output, StringComparison.Ordinal);
        Assert.Contains("simulated with the durations of the 4 traced steps: error", output, StringComparison.Ordinal);
        Assert.Equal(stages, System.Text.RegularExpressions.Regex.Count(File.ReadAllText(new RunFiles(tiny.In(run)).TimelinePlot), ">simulated"));
    }

    [Fact]
    public async Task A_planned_run_has_the_micro_batches_that_were_chosen_and_the_bits_of_the_unsplit_trainer_with_them()
    {
        // Nobody says how many micro-batches there are.
        string[] words = [.. tiny.Arguments("planned", TinyTraining.Steps)];
        var given = Array.IndexOf(words, "--micro-batches");
        words = [.. words[..given], .. words[(given + 2)..]];
        var (code, output) = await ProgramRun.ToEndAsync([.. words, "--stages", "2", "--processes", "2", "--set", "plan=auto"]);
        Assert.True(code == 0, output);
        var read = PlannedRun.AssertCarriedOut(tiny.In("planned"), output);
        words[Array.IndexOf(words, tiny.In("planned"))] = tiny.In("unplanned");
        (code, output) = await ProgramRun.ToEndAsync([.. words, "--reference", "--micro-batches", read.Value("schedule.micro-batches"), "--micro-batch-size", read.Value("schedule.micro-batch-size")]);
        Assert.True(code == 0, output);
        Assert.Equal(RunBits.Of(tiny.In("unplanned")).Lines, RunBits.Of(tiny.In("planned")).Lines);
    }

    [Fact]
    public async Task Children_are_nodes_the_endpoint_is_for_its_owner_only_and_units_move_by_command()
    {
        // One unit against five: a rebalance has something to do.
        using var train = ProgramRun.Start(tiny.Arguments("long", 100_000, "--stages", "2", "--processes", "3", "--set", "schedule.partition=\"1,5\"", "--set", "link.kind=tcp"));
        var status = await tiny.StatusAsync("long", status => status.Step > 0);
        Assert.Equal(3, status.Nodes.Count);
        Assert.Equal([0, 1], status.Stages.Select(stage => stage.Rank));
        Assert.All(status.Nodes, node => Assert.Equal(["coordinator", "stage"], node.Roles));
        Assert.All(status.Nodes, node => Assert.Contains("\0node\0", File.ReadAllText($"/proc/{node.Pid}/cmdline"), StringComparison.Ordinal));
        Assert.All(status.Nodes, node => Assert.Equal(train.Id, ParentOf(node.Pid)));
        // Stages keep away from the leader's node while there are others.
        Assert.DoesNotContain(status.Nodes.Single(node => node.Coordinates).Name, status.Stages.Select(stage => stage.Node));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(new RunFiles(tiny.In("long")).Endpoint));

        status = await tiny.StatusAsync("long", status => status.Links.Any(link => link.Bytes > 0));
        Assert.Equal(["tcp"], status.Links.Select(link => link.Kind).Distinct());
        Assert.Equal([1, 5], status.Stages.Select(stage => stage.Units));
        var (code, output) = await ProgramRun.ToEndAsync("ctl", "rebalance", "--run", tiny.In("long"));
        Assert.True(code == 0, output);
        Assert.Contains("The units are divided ", output, StringComparison.Ordinal);
        var moved = await tiny.StatusAsync("long", now => now.Generation > status.Generation && now.Step > status.Step + 3);
        Assert.Equal(6, moved.Stages.Sum(stage => stage.Units));
        Assert.NotEqual(1, moved.Stages[0].Units);

        (code, output) = await ProgramRun.ToEndAsync("ctl", "stop", "--yes", "--run", tiny.In("long"));
        Assert.True(code == 0, output);
        Assert.Equal(0, await train.EndAsync());
        (code, output) = await ProgramRun.ToEndAsync("verify", tiny.In("long"), "--from", "0", "--steps", "100000");
        Assert.True(code == 0, output);
        Assert.All(status.Nodes, node => Assert.False(Signals.IsAlive(node.Pid)));
        Assert.True(Directory.Exists(Path.Combine(new RunFiles(tiny.In("long")).Checkpoints)));
    }

    [Fact]
    public async Task A_signal_saves_and_the_run_goes_on_where_it_was()
    {
        using (var train = ProgramRun.Start(tiny.Arguments("signalled", TinyTraining.Steps * 100, "--stages", "2", "--processes", "2")))
        {
            await tiny.StatusAsync("signalled", status => status.Step >= 10);
            train.Signal(Signal.Terminate);
            Assert.Equal(130, await train.EndAsync());
            Assert.Contains("prediction costs are", train.Output, StringComparison.Ordinal);
        }

        var stoppedAt = RunBits.Of(tiny.In("signalled")).Lines.Count;
        var last = MetricsReader.Read(new RunFiles(tiny.In("signalled")).Metrics).Max(line => line.Step);
        var end = last + 4;
        var (code, output) = await ProgramRun.ToEndAsync("train", "--resume", tiny.In("signalled"), "--steps", $"{end}", "--processes", "3", "--stages", "3");
        Assert.True(code == 0, output);
        var resumed = RunBits.Of(tiny.In("signalled")).Lines;
        Assert.True(resumed.Count > stoppedAt);
        Assert.Equal(Enumerable.Range(1, (int)end).Select(step => (long)step), MetricsReader.Read(new RunFiles(tiny.In("signalled")).Metrics).OfType<StepMetrics>().Select(line => line.Step));
    }

    [Fact]
    public async Task Nodes_die_with_a_parent_that_is_killed()
    {
        using var train = ProgramRun.Start(tiny.Arguments("orphans", 100_000, "--stages", "2", "--processes", "2"));
        var status = await tiny.StatusAsync("orphans", status => status.Step > 0);
        train.Signal(Signal.Kill);
        await train.EndAsync();
        foreach (var node in status.Nodes) Assert.True(await Signals.EndsAsync(node.Pid), node.Name);
    }

    [Fact]
    public async Task A_second_start_in_the_same_directory_and_a_node_with_another_token_are_refused()
    {
        using var train = ProgramRun.Start(tiny.Arguments("twice", 100_000, "--stages", "2", "--processes", "2"));
        var status = await tiny.StatusAsync("twice", status => status.Step > 0);
        var seeds = string.Join(",", status.Nodes.Select(node => node.Address[(node.Address.IndexOf('@', StringComparison.Ordinal) + 1)..]));
        var stranger = ProgramRun.ToEndAsync(
            "node", "--name", "stranger", "--set", $"cluster.name=pipeline-{train.Id}", "--set", "cluster.port=0", "--set", "cluster.control-port=0", "--set", $"cluster.seed-nodes=[{seeds}]", "--set", $"cluster.token-file={tiny.In("another.token")}");
        var (code, output) = await stranger;
        Assert.True(code == 2, output);
        Assert.Contains("differs from the leader in cluster.token-file: a token marked ", output, StringComparison.Ordinal);
        (code, output) = await ProgramRun.ToEndAsync(tiny.Arguments("twice"));
        Assert.Equal(2, code);
        Assert.Contains("already holds a run", output, StringComparison.Ordinal);
        (code, output) = await ProgramRun.ToEndAsync("train", "--resume", tiny.In("twice"));
        Assert.Equal(2, code);
        Assert.Contains($"is in use by process {train.Id}", output, StringComparison.Ordinal);
    }

    private static int ParentOf(int process)
    {
        var status = File.ReadAllText($"/proc/{process}/stat");
        return int.Parse(status[(status.LastIndexOf(')') + 2)..].Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
    }
}
