using System.Text.Json;
using System.Xml.Linq;
using Pipeline.Cli;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary><c>plan</c> and <c>simulate</c> for clusters that nobody owns: nothing is measured, so that the figures are the same everywhere.</summary>
public sealed class PlanningCommandTests
{
    private static readonly string[] s_cluster =
    [
        "--preset", "gpt-nano", "--precision", "fp32", "--stages", "4", "--micro-batches", "8",
        "--set", "simulation.nodes=2", "--set", "simulation.devices-per-node=2", "--set", "simulation.device-flops=1e9",
    ];

    [Fact]
    public void A_plan_shows_candidates_marks_one_and_says_why()
    {
        var run = CommandLineRun.Of(["plan", .. s_cluster]);
        Assert.Equal((ExitCode.Done, ""), (run.Code, run.Complaints));
        Assert.Single(run.Output.Split('\n'), line => line.StartsWith('*'));
        Assert.Contains("is chosen of", run.Output, StringComparison.Ordinal);
        Assert.Contains("not measured", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_plan_as_json_puts_the_choice_first_and_no_fitting_candidate_is_half_a_percent_faster()
    {
        using var json = JsonDocument.Parse(CommandLineRun.Of(["plan", "--json", .. s_cluster]).Output);
        var candidates = json.RootElement.GetProperty("Candidates").EnumerateArray().ToArray();
        Assert.True(candidates.Length > 20);
        Assert.True(candidates[0].GetProperty("IsChosen").GetBoolean());
        var fastest = candidates.Where(candidate => candidate.GetProperty("Misfit").ValueKind is JsonValueKind.Null).Min(candidate => candidate.GetProperty("StepSeconds").GetDouble());
        Assert.InRange(candidates[0].GetProperty("StepSeconds").GetDouble(), fastest, fastest * 1.005);
    }

    [Fact]
    public void Where_nothing_fits_a_plan_is_refused_and_says_what_is_missing()
    {
        var run = CommandLineRun.Of(["plan", .. s_cluster, "--set", "simulation.device-memory=1000"]);
        Assert.Equal(ExitCode.Refused, run.Code);
        Assert.Contains("None of", run.Output, StringComparison.Ordinal);
        Assert.Contains("needs", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_simulation_writes_a_report_whose_ranks_add_up_a_picture_and_a_trace()
    {
        using TemporaryFolder folder = new();
        var target = Path.Combine(folder.Path, "report");
        var run = CommandLineRun.Of(["simulate", "--schedule", "zb-v", "--out", target, .. s_cluster, "--set", "simulation.replicas=1", "--set", "simulation.stragglers=1x1.5"]);
        Assert.Equal((ExitCode.Done, ""), (run.Code, run.Complaints));
        using var report = JsonDocument.Parse(File.ReadAllText(Path.Combine(target, "report.json")));
        var step = report.RootElement.GetProperty("StepSeconds").GetDouble();
        Assert.Equal(4, report.RootElement.GetProperty("RankTimes").GetArrayLength());
        foreach (var rank in report.RootElement.GetProperty("RankTimes").EnumerateArray())
        {
            var sum = new[] { "Busy", "Transfer", "Wait", "Bubble" }.Sum(name => rank.GetProperty(name).GetDouble());
            Assert.Equal(step, sum, step * 1e-9);
        }

        Assert.Contains("critical", File.ReadAllText(Path.Combine(target, "report.txt")), StringComparison.Ordinal);
        Assert.Equal("svg", XDocument.Load(Path.Combine(target, "timeline.svg")).Root!.Name.LocalName);
        using var trace = JsonDocument.Parse(File.ReadAllText(Path.Combine(target, "trace.json")));
        Assert.True(trace.RootElement.GetProperty("traceEvents").GetArrayLength() > 4 * 8);
    }

    [Fact]
    public void Of_several_stages_a_rank_each_has_its_own_times_and_peak_and_all_of_a_ranks_time_is_that_of_one_of_them()
    {
        string[] words = ["simulate", "--schedule", "interleaved-1f1b", .. s_cluster, "--set", "schedule.virtual-stages=2"];
        using var json = JsonDocument.Parse(CommandLineRun.Of([.. words, "--json"]).Output);
        var report = json.RootElement;
        var (step, stages) = (report.GetProperty("StepSeconds").GetDouble(), report.GetProperty("Stages").EnumerateArray().ToArray());
        Assert.Equal(8, stages.Length);
        foreach (var rank in report.GetProperty("RankTimes").EnumerateArray())
        {
            var own = stages.Where(stage => stage.GetProperty("Rank").GetInt32() == rank.GetProperty("Rank").GetInt32()).ToArray();
            Assert.Equal(2, own.Length);
            Assert.Equal(rank.GetProperty("Busy").GetDouble(), own.Sum(stage => stage.GetProperty("Busy").GetDouble()), step * 1e-9);
            Assert.Equal(step, own.Sum(stage => stage.GetProperty("Busy").GetDouble() + stage.GetProperty("Idle").GetDouble()), step * 1e-9);
            var (together, each) = (rank.GetProperty("PeakActivationBytes").GetInt64(), own.Select(stage => stage.GetProperty("PeakActivationBytes").GetInt64()).ToArray());
            Assert.InRange(together, each.Max(), each.Sum());
            Assert.All(own, stage => Assert.True(stage.GetProperty("PeakActivationBytes").GetInt64() >= stage.GetProperty("ActivationBytes").GetInt64()));
        }

        Assert.Contains("idle before its actions", CommandLineRun.Of(words).Output, StringComparison.Ordinal);
        Assert.DoesNotContain("idle before its actions", CommandLineRun.Of(["simulate", .. s_cluster]).Output, StringComparison.Ordinal);
    }

    [Fact]
    public void What_does_not_fit_is_shown_with_the_place_at_which_it_does_not()
    {
        var run = CommandLineRun.Of(["simulate", "--schedule", "gpipe", .. s_cluster, "--set", "simulation.device-memory=2e7"]);
        Assert.Contains("does not fit", run.Output, StringComparison.Ordinal);
        Assert.Contains("bytes, but the rank has 20,000,000", run.Output, StringComparison.Ordinal);
        Assert.Matches(@"\[\dF\d\]", run.Output);
    }

    [Fact]
    public void A_plan_for_little_memory_recomputes_where_it_must_and_says_which_units_do()
    {
        using var roomy = JsonDocument.Parse(CommandLineRun.Of(["plan", "--json", .. s_cluster]).Output);
        var plain = roomy.RootElement.GetProperty("Candidates").EnumerateArray().First(candidate => candidate.GetProperty("Schedule").GetString() == "1f1b" && candidate.GetProperty("Recompute").GetString() == "none");
        using var tight = JsonDocument.Parse(CommandLineRun.Of(["plan", "--json", .. s_cluster, "--set", $"simulation.device-memory={plain.GetProperty("PeakBytes").GetInt64() - 1}"]).Output);
        var mixed = tight.RootElement.GetProperty("Candidates").EnumerateArray().Select(candidate => candidate.GetProperty("Recompute").GetString()!).Where(recompute => recompute.Contains('x', StringComparison.Ordinal)).ToArray();
        Assert.NotEmpty(mixed);
        // Each is a setting as it stands: of all ten units of the model.
        Assert.All(mixed, recompute => Assert.Equal(ExitCode.Done, CommandLineRun.Of(["simulate", .. s_cluster, "--set", $"schedule.recompute={recompute}"]).Code));
    }

    [Fact]
    public void A_step_of_many_actions_is_drawn_as_a_map_and_traced_in_a_window()
    {
        using TemporaryFolder folder = new();
        var run = CommandLineRun.Of(
            "simulate", "--preset", "gpt-nano", "--precision", "fp32", "--stages", "8", "--micro-batches", "8192", "--out", folder.Path, "--window", "0:0.01",
            "--set", "simulation.nodes=1", "--set", "simulation.device-memory=1e12");
        Assert.Equal((ExitCode.Done, ""), (run.Code, run.Complaints));
        var picture = File.ReadAllText(Path.Combine(folder.Path, "timeline.svg"));
        Assert.Contains("<path d=\"M", picture, StringComparison.Ordinal);
        Assert.InRange(picture.Length, 1_000, 2_000_000);
        Assert.InRange(new FileInfo(Path.Combine(folder.Path, "trace.json")).Length, 1_000, 10_000_000);
    }

    [Fact]
    public void A_run_that_may_take_a_step_back_is_reckoned_with_the_second_copy_that_it_holds()
    {
        var (waiting, ahead) = (State("on"), State("off"));
        // Weights, gradients and two moments of fp32, and once more the weights.
        Assert.Equal(Math.Round(waiting * 20.0 / 16), ahead, 0.5);

        static double State(string barrier)
        {
            using var report = JsonDocument.Parse(CommandLineRun.Of(["simulate", "--json", "--schedule", "zb-h1", .. s_cluster, "--set", $"schedule.barrier={barrier}"]).Output);
            return report.RootElement.GetProperty("RankTimes").EnumerateArray().Sum(rank => rank.GetProperty("StateBytes").GetDouble());
        }
    }

    [Theory]
    [InlineData("simulation.nodes=1", "devices")]
    [InlineData("simulation.stragglers=9x2", "stragglers")]
    [InlineData("simulation.node-speeds=fast", "node-speeds")]
    [InlineData("simulation.node-speeds=3x0.5", "node-speeds")]
    [InlineData("simulation.node-memories=3x0.5", "node-memories")]
    [InlineData("simulation.stragglers=1x2@0.2:0.1", "stragglers")]
    [InlineData("simulation.stragglers=1x0", "stragglers")]
    [InlineData("simulation.replicas=2", "replicas")]
    public void What_cannot_be_simulated_is_refused_with_its_key(string assignment, string word)
    {
        var run = CommandLineRun.Of(["simulate", .. s_cluster, "--set", assignment]);
        Assert.Equal(ExitCode.Refused, run.Code);
        Assert.Contains(word, run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Replicas_of_a_run_share_its_samples_and_reduce_between_nodes()
    {
        string[] world = ["--preset", "gpt-nano", "--precision", "fp32", "--stages", "2", "--micro-batches", "8", "--set", "simulation.nodes=2", "--set", "simulation.devices-per-node=2", "--set", "simulation.device-flops=1e9"];
        var (alone, shared) = (Report([]), Report(["--set", "parallelism.data=2"]));
        var slow = Report(["--set", "parallelism.data=2", "--set", "simulation.link-between.bandwidth=1e6"]);
        var compressed = Report(["--set", "parallelism.data=2", "--set", "simulation.link-between.bandwidth=1e6", "--set", "compression.kind=int4", "--set", "compression.answer=int4"]);
        Assert.Equal((8, 4), (alone.MicroBatches, shared.MicroBatches));
        // Half of the micro-batches each, at the same time: nearly twice the tokens a second of one pipeline, and never more.
        Assert.InRange(shared.TokensPerSecond / alone.TokensPerSecond, 1.2, 2);
        Assert.True(slow.ReductionSeconds > compressed.ReductionSeconds * 5);
        var plan = CommandLineRun.Of(["plan", "--json", .. world, "--set", "parallelism.data=2"]);
        using var json = JsonDocument.Parse(plan.Output);
        Assert.All(json.RootElement.GetProperty("Candidates").EnumerateArray(), candidate =>
            Assert.Equal(16, candidate.GetProperty("MicroBatches").GetInt32() * candidate.GetProperty("MicroBatchSize").GetInt32()));

        (int MicroBatches, double TokensPerSecond, double ReductionSeconds) Report(string[] more)
        {
            using var report = JsonDocument.Parse(CommandLineRun.Of(["simulate", "--json", .. world, .. more]).Output);
            var root = report.RootElement;
            var reductions = root.GetProperty("Reductions");
            return (root.GetProperty("MicroBatches").GetInt32(), root.GetProperty("TokensPerSecond").GetDouble(),
                reductions.ValueKind == JsonValueKind.Null ? 0 : reductions.GetProperty("LongestSeconds").GetDouble());
        }
    }

    [Fact]
    public void The_cluster_that_ships_as_an_example_can_be_simulated_with_all_its_kinds_of_replicas()
    {
        var example = Path.Combine(RepositoryRoot.Path, "hocon", "simulations", "64x8.conf");
        using var report = JsonDocument.Parse(CommandLineRun.Of("simulate", "-c", example, "--json").Output);
        Assert.Equal(32, report.RootElement.GetProperty("Ranks").GetInt32());
        Assert.Equal(JsonValueKind.Null, report.RootElement.GetProperty("Misfit").ValueKind);
        Assert.InRange(report.RootElement.GetProperty("Idle").GetDouble(), 0.05, 0.6);
        // The first with its straggler, its likes without, one with three nodes of the older kind, two with nothing else, which are the slowest.
        var replicas = report.RootElement.GetProperty("Replicas").EnumerateArray().ToArray();
        Assert.Equal([1, 12, 1, 2], replicas.Select(replica => replica.GetProperty("Count").GetInt32()));
        Assert.Equal(14, replicas.Single(replica => replica.GetProperty("IsSlowest").GetBoolean()).GetProperty("First").GetInt32());
    }

    [Theory]
    [InlineData("simulation.node-speeds=1x1.0,1x0.5", 2)]
    [InlineData("simulation.stragglers=3x4", 1.2)]
    public void A_step_ends_with_its_slowest_replica_wherever_that_is(string slow, double factor)
    {
        string[] world = ["--preset", "gpt-nano", "--precision", "fp32", "--stages", "2", "--micro-batches", "8", "--set", "simulation.nodes=2", "--set", "simulation.devices-per-node=2", "--set", "simulation.device-flops=1e9", "--set", "simulation.replicas=2"];
        using var even = JsonDocument.Parse(CommandLineRun.Of(["simulate", "--json", .. world]).Output);
        using var uneven = JsonDocument.Parse(CommandLineRun.Of(["simulate", "--json", .. world, "--set", slow]).Output);
        Assert.Equal(1, even.RootElement.GetProperty("Replicas").GetArrayLength());
        var replicas = uneven.RootElement.GetProperty("Replicas").EnumerateArray().ToArray();
        Assert.Equal([(0, false), (1, true)], replicas.Select(replica => (replica.GetProperty("First").GetInt32(), replica.GetProperty("IsSlowest").GetBoolean())));
        var step = even.RootElement.GetProperty("StepSeconds").GetDouble();
        Assert.Equal(step, replicas[0].GetProperty("StepSeconds").GetDouble(), step * 1e-9);
        Assert.True(uneven.RootElement.GetProperty("StepSeconds").GetDouble() > step * factor * 0.9);
        Assert.Equal([2, 3], uneven.RootElement.GetProperty("RankTimes").EnumerateArray().Select(rank => rank.GetProperty("Device").GetInt32()));
        Assert.Contains("ends with replica 1", CommandLineRun.Of(["simulate", .. world, "--set", slow]).Output, StringComparison.Ordinal);
        using var plan = JsonDocument.Parse(CommandLineRun.Of(["plan", "--json", .. world, "--set", slow]).Output);
        using var free = JsonDocument.Parse(CommandLineRun.Of(["plan", "--json", .. world]).Output);
        Assert.True(Chosen(plan) > Chosen(free) * factor * 0.9);

        static double Chosen(JsonDocument document) => document.RootElement.GetProperty("Candidates")[0].GetProperty("StepSeconds").GetDouble();
    }

    [Fact]
    public void A_straggler_s_seconds_and_a_node_s_memory_are_those_that_are_said()
    {
        string[] one = ["simulate", "--json", .. s_cluster];
        var (none, late, always) = (Step([]), Step(["--set", "simulation.stragglers=1x3@0.001:0.002"]), Step(["--set", "simulation.stragglers=1x3"]));
        Assert.Equal(none, Step(["--set", "simulation.stragglers=1x3@9000:9001"]), none * 1e-9);
        Assert.InRange(late, none, always);
        Assert.True(always > none * 1.2);
        // Of the second node's devices only: a millionth of 72 GB holds no stage, and the first node's still do.
        using var small = JsonDocument.Parse(CommandLineRun.Of([.. one, "--set", "simulation.node-memories=1x1.0,1x0.000001"]).Output);
        Assert.StartsWith("rank ", small.RootElement.GetProperty("Misfit").GetString()!, StringComparison.Ordinal);
        Assert.Contains(" and has 0", small.RootElement.GetProperty("Misfit").GetString()!, StringComparison.Ordinal);

        double Step(string[] more)
        {
            using var report = JsonDocument.Parse(CommandLineRun.Of([.. one, .. more]).Output);
            return report.RootElement.GetProperty("StepSeconds").GetDouble();
        }
    }

    [Fact]
    public void A_window_that_is_none_is_a_usage_error()
    {
        foreach (var window in (string[])["1", "2:1", "a:b"])
            Assert.Contains("--window", CommandLineRun.Of(["simulate", .. s_cluster, "--window", window]).Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Schedule_ls_names_every_kind()
    {
        var lines = CommandLineRun.Of("schedule", "ls").Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(Pipeline.Schedules.ScheduleCatalog.All.Select(kind => kind.Name), lines.Select(line => line.Split(' ')[0]));
        using var json = JsonDocument.Parse(CommandLineRun.Of("schedule", "ls", "--json").Output);
        Assert.Equal(lines.Length, json.RootElement.GetArrayLength());
    }

    [Theory]
    [InlineData(ExitCode.Refused, "1,2", null)]
    [InlineData(ExitCode.Refused, "1,2,3", "7,7")]
    [InlineData(ExitCode.Refused, "1,0.0", "7,7")]
    [InlineData(ExitCode.Done, "1,0.5", "7,7")]
    public void Planned_times_belong_to_a_partition_one_for_each_rank(int code, string times, string? partition)
    {
        var run = CommandLineRun.Of([
            "config", "validate", "--set", "parallelism.pipeline=2", "--set", $"planned-times=\"{times}\"", .. partition is null ? (string[])[] : ["--set", $"schedule.partition=\"{partition}\""]]);
        Assert.Equal((code, code == ExitCode.Refused), (run.Code, run.Error.Contains("planned-times", StringComparison.Ordinal)));
    }

    [Fact]
    public void Plan_auto_refuses_settings_that_it_would_ignore()
    {
        var run = CommandLineRun.Of("config", "validate", "--set", "plan=auto", "--set", "schedule.name=gpipe");
        Assert.Equal(ExitCode.Refused, run.Code);
        Assert.Contains("pipeline.schedule.name", run.Error, StringComparison.Ordinal);
        Assert.Equal(ExitCode.Done, CommandLineRun.Of("config", "validate", "--set", "plan=auto").Code);
        Assert.Equal(ExitCode.Refused, CommandLineRun.Of("config", "validate", "--set", "schedule.memory-credit=4").Code);
        Assert.Equal(ExitCode.Done, CommandLineRun.Of("config", "validate", "--set", "schedule.memory-credit=4", "--set", "schedule.name=greedy").Code);
        Assert.Contains("only pipeline.schedule.name = greedy uses it", CommandLineRun.Of("config", "validate", "--set", "schedule.order-costs=[1,2,1]").Error, StringComparison.Ordinal);
        Assert.Equal(ExitCode.Done, CommandLineRun.Of("config", "validate", "--set", "schedule.order-costs=[1,2,1]", "--set", "schedule.name=greedy").Code);
    }
}
