using System.Runtime.Versioning;
using Pipeline.Chaos;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>Replicas of the pipeline over real processes: the bits of the unsplit trainer, also when one is killed.</summary>
[SupportedOSPlatform("linux")]
public sealed class ReplicaTests(TinyTraining tiny) : IClassFixture<TinyTraining>
{
    private static readonly string[] s_invariant = ["--set", "parallelism.data=2", "--set", "numerics.summation=invariant"];
    private static readonly string[] s_fast = ["--set", "parallelism.data=2"];

    [Theory]
    [InlineData("invariant", 1, 2, 1)]
    [InlineData("invariant", 2, 4, 2)]
    [InlineData("fast", 2, 3, 1)]
    [InlineData("fast", 1, 3, 2)]
    public async Task Replicas_over_processes_give_the_bits_of_the_unsplit_trainer(string summation, int stages, int processes, int shards)
    {
        var run = $"{summation}-{stages}-{processes}-{shards}";
        var settings = summation == "fast" ? s_fast : s_invariant;
        var (code, output) = await ProgramRun.ToEndAsync(tiny.Arguments(
            run, TinyTraining.Steps, [.. settings, "--stages", $"{stages}", "--processes", $"{processes}", "--set", $"parallelism.optimizer={shards}", "--set", "reduction.bucket=4000"]));
        Assert.True(code == 0, output);
        Assert.Equal((await tiny.ReferenceAsync(TinyTraining.Steps, settings)).Lines, RunBits.Of(tiny.In(run)).Lines);
    }

    [Fact]
    public async Task Gradients_that_are_sent_from_where_they_lie_give_the_same_bits_before_and_after_a_rank_replays()
    {
        const string run = "lent";
        using var train = ProgramRun.Start(tiny.Arguments(
            run, TinyTraining.Steps * 4, [.. s_fast, "--stages", "2", "--processes", "5", "--set", "reduction.lend-from=1", "--set", "reduction.bucket=4000", "--set", "protection.every=8"]));
        var status = await tiny.StatusAsync(run, status => status.Step >= 9);
        Signals.Send(status.Nodes.First(node => !node.Coordinates && status.Stages.Any(stage => stage.Node == node.Name)).Pid, Signal.Kill);
        var code = await train.EndAsync();
        Assert.True(code == 0, train.Output);
        Assert.Contains("\"event\":\"recovering\"", File.ReadAllText(new RunFiles(tiny.In(run)).Events), StringComparison.Ordinal);
        Assert.Equal((await tiny.ReferenceAsync(TinyTraining.Steps * 4, s_fast)).Lines, RunBits.Of(tiny.In(run)).Lines);
    }

    [SkippableTheory]
    [InlineData("invariant", 1)]
    [InlineData("fast", 2)]
    public async Task A_killed_rank_of_two_replicas_is_replaced_and_nothing_else_computes_again(string summation, int shards)
    {
        SkipUnlessFull(isAlways: shards > 1);
        var run = $"killed-{summation}";
        var settings = summation == "fast" ? s_fast : s_invariant;
        using var train = ProgramRun.Start(tiny.Arguments(
            run, TinyTraining.Steps * 4, [.. settings, "--stages", "2", "--processes", "5", "--set", $"parallelism.optimizer={shards}"]));
        var status = await tiny.StatusAsync(run, status => status.Step >= 9);
        var victim = status.Nodes.First(node => !node.Coordinates && status.Stages.Any(stage => stage.Node == node.Name && stage.Rank >= 2));
        Signals.Send(victim.Pid, Signal.Kill);
        var code = await train.EndAsync();
        Assert.True(code == 0, train.Output);
        Assert.Contains("\"event\":\"recovering\"", File.ReadAllText(new RunFiles(tiny.In(run)).Events), StringComparison.Ordinal);
        Assert.Equal((await tiny.ReferenceAsync(TinyTraining.Steps * 4, settings)).Lines, RunBits.Of(tiny.In(run)).Lines);
    }

    [Fact]
    public async Task A_killed_rank_of_replicas_that_share_the_optimizer_out_and_compress_both_ways_has_the_bits_of_a_run_that_lost_nobody()
    {
        string[] settings = [.. s_fast, "--stages", "2", "--set", "parallelism.optimizer=2", "--set", "compression.kind=int4", "--set", "compression.answer=int8", "--set", "compression.warmup=3"];
        var (code, output) = await ProgramRun.ToEndAsync(tiny.Arguments("whole-compressed", TinyTraining.Steps * 4, settings));
        Assert.True(code == 0, output);
        using var train = ProgramRun.Start(tiny.Arguments("killed-compressed", TinyTraining.Steps * 4, [.. settings, "--processes", "5"]));
        var status = await tiny.StatusAsync("killed-compressed", status => status.Step >= 9);
        Signals.Send(status.Nodes.First(node => !node.Coordinates && status.Stages.Any(stage => stage.Node == node.Name && stage.Rank >= 2)).Pid, Signal.Kill);
        code = await train.EndAsync();
        Assert.True(code == 0, train.Output);
        Assert.Contains("\"event\":\"recovering\"", File.ReadAllText(new RunFiles(tiny.In("killed-compressed")).Events), StringComparison.Ordinal);
        Assert.Equal(RunBits.Of(tiny.In("whole-compressed")).Lines, RunBits.Of(tiny.In("killed-compressed")).Lines);
    }

    [Theory]
    [InlineData(1, 2, 1)]
    [InlineData(2, 4, 1)]
    [InlineData(2, 4, 2)]
    public async Task A_killed_replica_without_a_spare_leaves_one_less_and_the_bits_as_they_are(int stages, int processes, int shards)
    {
        var run = $"fewer-{stages}-{shards}";
        using var train = ProgramRun.Start(tiny.Arguments(
            run, TinyTraining.Steps * 4, [.. s_invariant, "--stages", $"{stages}", "--processes", $"{processes}", "--set", $"parallelism.optimizer={shards}"]));
        var status = await tiny.StatusAsync(run, status => status.Step >= 9);
        var victim = status.Nodes.First(node => !node.Coordinates && status.Stages.Any(stage => stage.Node == node.Name));
        Signals.Send(victim.Pid, Signal.Kill);
        var code = await train.EndAsync();
        Assert.True(code == 0, train.Output);
        Assert.Contains("\"event\":\"replicas-changed\"", File.ReadAllText(new RunFiles(tiny.In(run)).Events), StringComparison.Ordinal);
        Assert.Equal((await tiny.ReferenceAsync(TinyTraining.Steps * 4, s_invariant)).Lines, RunBits.Of(tiny.In(run)).Lines);
    }

    [SkippableTheory]
    [InlineData("invariant", 1)]
    [InlineData("fast", 2)]
    public async Task A_whole_replica_on_one_node_beside_one_over_two_gives_the_same_bits_also_when_it_is_killed(string summation, int shards)
    {
        SkipUnlessFull(isAlways: shards == 1);
        var run = $"uneven-{summation}";
        var settings = summation == "fast" ? s_fast : s_invariant;
        using var train = ProgramRun.Start(tiny.Arguments(
            run, TinyTraining.Steps * 4, [.. settings, "--stages", "2", "--processes", "4", "--set", "parallelism.stages-per-replica=\"2,1\"", "--set", $"parallelism.optimizer={shards}"]));
        var status = await tiny.StatusAsync(run, status => status.Step >= 9);
        Assert.Equal([0, 1, 2], status.Stages.Select(stage => stage.Rank));
        var victim = status.Nodes.First(node => !node.Coordinates && status.Stages.Any(stage => stage.Node == node.Name && stage.Rank == 2));
        Signals.Send(victim.Pid, Signal.Kill);
        var code = await train.EndAsync();
        Assert.True(code == 0, train.Output);
        Assert.Contains("\"event\":\"recovering\"", File.ReadAllText(new RunFiles(tiny.In(run)).Events), StringComparison.Ordinal);
        Assert.Equal((await tiny.ReferenceAsync(TinyTraining.Steps * 4, settings)).Lines, RunBits.Of(tiny.In(run)).Lines);
    }

    [Fact]
    public async Task Reducers_beside_the_replicas_give_the_same_bits_over_processes()
    {
        string[] settings = [.. s_fast, "--set", "reduction.topology=coordinator"];
        var (code, output) = await ProgramRun.ToEndAsync(tiny.Arguments("reducers", TinyTraining.Steps, [.. settings, "--stages", "2", "--processes", "3", "--set", "reduction.bucket=4000"]));
        Assert.True(code == 0, output);
        Assert.Equal((await tiny.ReferenceAsync(TinyTraining.Steps, s_fast)).Lines, RunBits.Of(tiny.In("reducers")).Lines);
    }

    private static void SkipUnlessFull(bool isAlways) =>
        Skip.IfNot(isAlways || Environment.GetEnvironmentVariable("PIPELINE_TESTS") == "full", "The other order of addition runs; both with real processes in the full set only: ./pipeline.sh test --full");
}
