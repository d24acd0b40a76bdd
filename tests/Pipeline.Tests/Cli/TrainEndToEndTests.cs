using System.Text.Json;
using Pipeline.Checkpoints;
using Pipeline.Cli;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>The executable's words against a small corpus, as a user would type them, in this process.</summary>
public sealed class TrainEndToEndTests : IDisposable
{
    private readonly CommandLineTraining _training = new();

    public void Dispose() => _training.Dispose();

    [Fact]
    public void A_pipeline_leaves_the_bits_of_the_unsplit_trainer_and_everything_that_a_run_directory_holds()
    {
        var piped = Train("piped", "--stages", "3");
        Assert.Equal(ExitCode.Done, piped.Code);
        Assert.Equal(ExitCode.Done, Train("unsplit", "--reference").Code);
        Assert.Equal(Numbers("unsplit"), Numbers("piped"));
        foreach (var line in new[] { "model ", "data ", "step ", "stages ", "memory ", "disk ", "bubble ", "validation loss" }) Assert.Contains(line, piped.Output, StringComparison.Ordinal);
        var files = new RunFiles(In("piped"));
        foreach (var file in new[] { files.Configuration, files.Metrics, files.Digests, files.Events, files.LossPlot, files.TimelinePlot, files.Trace, files.Sample })
            Assert.True(new FileInfo(file).Length > 0, file);
        Assert.NotEmpty(Directory.GetFiles(files.Folder, "events.out.tfevents.*"));
        Assert.True(File.Exists(Path.Combine(files.Checkpoints, "step-8", "model.safetensors.index.json")));
        using var trace = JsonDocument.Parse(File.ReadAllText(files.Trace));
        Assert.True(trace.RootElement.GetProperty("traceEvents").GetArrayLength() > 10);
        Assert.Equal(ExitCode.Done, Run("bisect", In("piped"), In("unsplit")).Code);
    }

    [Fact]
    public void Units_that_recompute_each_in_their_own_way_are_shown_and_leave_the_bits_of_the_unsplit_trainer()
    {
        Assert.Equal(ExitCode.Done, Train("unsplit", "--reference").Code);
        var mixed = Train("mixed", "--stages", "2", "--set", "schedule.recompute=full,selective,2xnone", "--set", "schedule.partition=2,2");
        Assert.Equal(ExitCode.Done, mixed.Code);
        Assert.Contains("; recomputes of its units 1 full, 1 selective)", mixed.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("recomputes", mixed.Output.Split('\n').Single(line => line.TrimStart().StartsWith("stage 1:", StringComparison.Ordinal)), StringComparison.Ordinal);
        Assert.Contains("steps were clipped", mixed.Output, StringComparison.Ordinal);
        Assert.Equal(Numbers("unsplit"), Numbers("mixed"));
        // It is kept with the run, in a form that reads back.
        Assert.Contains("\"1xfull, 1xselective, 2xnone\"", File.ReadAllText(new RunFiles(In("mixed")).Configuration), StringComparison.Ordinal);
        Assert.Equal(ExitCode.Done, Run("train", "--resume", In("mixed"), "--steps", "9", "--set", "schedule.recompute=none").Code);
    }

    [Fact]
    public void A_schedule_with_which_a_rank_would_hold_more_than_it_has_is_refused_with_its_place_before_anything_is_written()
    {
        var refused = Train("refused", "--stages", "2", "--schedule", "gpipe", "--set", "schedule.rank-memory=1000");
        Assert.Equal(ExitCode.Refused, refused.Code);
        Assert.Contains("rank 0, action 1: 0F0 makes", refused.Error, StringComparison.Ordinal);
        Assert.Contains("[0F0]", refused.Error, StringComparison.Ordinal);
        Assert.Contains("pipeline.schedule.rank-memory", refused.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(In("refused")));
        // A table from a file is held against it, too.
        File.WriteAllText(In("mine.csv"), "0F0,0F1,0F2,0B0,0B1,0B2\n1F0,1B0,1F1,1B1,1F2,1B2\n");
        Assert.Contains("Schedule csv-mine", Train("refused", "--stages", "2", "--schedule", In("mine.csv"), "--set", "schedule.rank-memory=1000").Error, StringComparison.Ordinal);
        Assert.Equal(ExitCode.Done, Train("roomy", "--stages", "2", "--schedule", In("mine.csv"), "--steps", "1", "--set", "schedule.rank-memory=1e9").Code);
    }

    [Fact]
    public void A_run_resumed_with_other_stages_is_the_uninterrupted_one_and_verifies()
    {
        Assert.Equal(ExitCode.Done, Train("whole").Code);
        Assert.Equal(ExitCode.Done, Train("halved", "--stages", "4", "--steps", "4", "--set", "optimizer.horizon=8").Code);
        Assert.Equal(ExitCode.Done, Run("train", "--resume", In("halved"), "--steps", "8", "--stages", "1").Code);
        Assert.Equal(Numbers("whole"), Numbers("halved"));
        Assert.Contains("Verified: steps 5 to 8", Run("verify", In("halved"), "--from", "4").Output, StringComparison.Ordinal);
        var text = Run("generate", "--run", In("halved"), "--prompt", "the cat", "--max-tokens", "5", "--json");
        Assert.Equal(ExitCode.Done, text.Code);
        Assert.Equal(text.Output, Run("generate", "--run", In("halved"), "--prompt", "the cat", "--max-tokens", "5", "--json").Output);
    }

    [Fact]
    public void A_planned_run_has_the_bits_of_the_unsplit_trainer_says_why_it_was_planned_so_and_what_came_of_it()
    {
        Assert.Equal(ExitCode.Done, Train("unsplit", "--reference").Code);
        var planned = Train("planned", "--stages", "2", "--steps", "4", "--set", "optimizer.horizon=8", "--set", "plan=auto");
        Assert.Equal(ExitCode.Done, planned.Code);
        Assert.Contains("is chosen of", planned.Output, StringComparison.Ordinal);
        Assert.Contains("only proportions are predicted", planned.Output, StringComparison.Ordinal);
        Assert.Contains("rebalance", planned.Output, StringComparison.Ordinal);
        Assert.Equal(ExitCode.Done, Run("train", "--resume", In("planned"), "--steps", "8").Code);
        Assert.Equal(Numbers("unsplit"), Numbers("planned"));
        Assert.Contains("simulated", File.ReadAllText(new RunFiles(In("planned")).TimelinePlot), StringComparison.Ordinal);
    }

    [Fact]
    public void Of_several_replicas_every_rank_has_a_simulated_lane_below_its_own_in_the_plot_and_in_the_trace()
    {
        Assert.Equal(ExitCode.Done, Train("replicas", "--stages", "2", "--micro-batches", "4", "--set", "parallelism.data=2", "--precision", "fp32").Code);
        var files = new RunFiles(In("replicas"));
        Assert.Equal(4, System.Text.RegularExpressions.Regex.Count(File.ReadAllText(files.TimelinePlot), ">simulated"));
        using var trace = JsonDocument.Parse(File.ReadAllText(files.Trace));
        var names = trace.RootElement.GetProperty("traceEvents").EnumerateArray().Where(item => item.GetProperty("name").GetString() == "thread_name").ToArray();
        Assert.Equal(4, names.Count(item => item.GetProperty("args").GetProperty("name").GetString() == "simulated"));
        var lanes = trace.RootElement.GetProperty("traceEvents").EnumerateArray().Where(item => item.GetProperty("ph").GetString() == "X").Select(item => item.GetProperty("tid").GetInt32()).Distinct();
        Assert.Equal(names.Length, lanes.Count());
        Assert.Contains("simulated with the durations", File.ReadAllText(files.Prediction), StringComparison.Ordinal);
    }

    [Fact]
    public void Units_of_one_kind_and_size_have_the_same_costs_in_a_profile()
    {
        var file = In("alike.json");
        Assert.Equal(ExitCode.Done, Run([
            "profile", "--seconds", "0", "--out", file, "--preset", "gpt-nano", "--precision", "fp32", "--set", "model.layers=2", "--set", "model.width=32", "--set", "model.heads=2",
            "--set", "model.context=16", "--set", "model.vocabulary=300", "--micro-batch-size", "2"]).Code);
        using var json = JsonDocument.Parse(File.ReadAllText(file));
        var units = json.RootElement.GetProperty("sizes").GetProperty("2").EnumerateArray().ToDictionary(unit => unit.GetProperty("name").GetString()!, unit => unit.GetProperty("backward").GetDouble());
        Assert.Equal(units["layers.0.mlp"], units["layers.1.mlp"]);
        Assert.Equal(units["layers.0.attention"], units["layers.1.attention"]);
        Assert.NotEqual(units["layers.0.mlp"], units["layers.0.attention"]);
    }

    [Theory]
    [InlineData("zb-v", "full", "schedule.barrier=off")]
    [InlineData("interleaved-1f1b", "selective", "schedule.partition=1,1,1,1")]
    [InlineData("greedy", "none", "schedule.memory-credit=3")]
    public void Any_schedule_has_the_bits_of_the_unsplit_trainer(string schedule, string recompute, string setting)
    {
        Assert.Equal(ExitCode.Done, Train("unsplit", "--reference").Code);
        var run = Train("split", "--stages", "2", "--schedule", schedule, "--set", $"schedule.recompute={recompute}", "--set", setting);
        Assert.Equal(ExitCode.Done, run.Code);
        Assert.Equal(Numbers("unsplit"), Numbers("split"));
    }

    [Fact]
    public void Replicas_with_stages_of_their_own_are_shown_and_have_the_bits_of_the_unsplit_trainer_also_resumed_with_others()
    {
        Assert.Equal(ExitCode.Done, Train("unsplit", "--reference", "--set", "numerics.summation=invariant").Code);
        var run = Train("uneven", "--stages", "2", "--steps", "4", "--set", "optimizer.horizon=8", "--set", "parallelism.data=3", "--set", "parallelism.stages-per-replica=2,1,3", "--set", "numerics.summation=invariant");
        Assert.True(run.Code == ExitCode.Done, run.Error);
        Assert.Contains("3 replicas of 2 + 1 + 3 ranks", run.Output, StringComparison.Ordinal);
        Assert.Contains("replica 2, stage 2: ", run.Output, StringComparison.Ordinal);
        var resumed = Run("train", "--resume", In("uneven"), "--stages", "1", "--steps", "8", "--set", "parallelism.stages-per-replica=1,4,1");
        Assert.True(resumed.Code == ExitCode.Done, resumed.Error);
        Assert.Equal(Numbers("unsplit"), Numbers("uneven"));
    }

    [Fact]
    public void Bisect_names_step_unit_and_tensor_between_two_digests()
    {
        Assert.Equal(ExitCode.Done, Train("left", "--set", "run.digest-every=4").Code);
        // Another rate changes the weights of the first step, but digests are four steps apart.
        Assert.Equal(ExitCode.Done, Train("right", "--set", "run.digest-every=4", "--set", "optimizer.learning-rate=0.004").Code);
        var found = Run("bisect", In("left"), In("right"));
        Assert.Equal(ExitCode.Failed, found.Code);
        Assert.Contains("part at step 1, first in unit embedding, tensor embedding.tokens.weight", found.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Verify_names_a_run_that_did_not_follow_its_settings()
    {
        Assert.Equal(ExitCode.Done, Train("altered").Code);
        var path = new RunFiles(In("altered")).Metrics;
        var lines = File.ReadAllLines(path);
        var step = Array.FindIndex(lines, line => line.StartsWith("{\"step\":6,", StringComparison.Ordinal));
        lines[step] = lines[step].Replace("\"grad_norm\":", "\"grad_norm\":1", StringComparison.Ordinal);
        File.WriteAllLines(path, lines);
        var result = Run("verify", In("altered"));
        Assert.Equal(ExitCode.Failed, result.Code);
        Assert.Contains("step 6: the gradient norm", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_damaged_checkpoint_is_named_and_the_one_before_is_used()
    {
        Assert.Equal(ExitCode.Done, Train("damaged").Code);
        var shard = Directory.GetFiles(Path.Combine(In("damaged"), "checkpoints", "step-8"), "optimizer-*")[0];
        var bytes = File.ReadAllBytes(shard);
        bytes[^5] ^= 1;
        File.WriteAllBytes(shard, bytes);
        var resumed = Run("train", "--resume", In("damaged"), "--steps", "10");
        Assert.Equal(ExitCode.Done, resumed.Code);
        Assert.Contains(Path.GetFileName(shard), resumed.Error, StringComparison.Ordinal);
        Assert.Contains("from step 4", resumed.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Bad_input_is_refused_with_a_sentence_before_the_first_step_and_nothing_is_lost()
    {
        Assert.Equal(ExitCode.Done, Train("kept").Code);
        var metrics = File.ReadAllText(new RunFiles(In("kept")).Metrics);
        File.WriteAllText(In("empty.txt"), "");
        File.WriteAllBytes(In("binary.txt"), [.. "text"u8, 0, 1, 2, 0]);
        File.WriteAllText(In("short.txt"), "the cat sat");
        File.WriteAllText(In("cut.conf"), "pipeline { model {");
        AssertRefused(Train("kept"), "already holds a run");
        AssertRefused(Train("new", "--set", "model.layer=2"), "model.layers");
        AssertRefused(Train("new", "--set", "model.layers=two"), "model.layers");
        AssertRefused(Train("new", "--set", "model.dropout=1.5"), "model.dropout");
        AssertRefused(Train("new", "-c", In("cut.conf")), "cut.conf");
        AssertRefused(Train("new", "--stages", "50"), "50 stages");
        AssertRefused(Train("new", "--data", In("absent.txt")), "absent.txt");
        AssertRefused(Train("new", "--data", In("empty.txt")), "empty");
        AssertRefused(Train("new", "--data", In("binary.txt")), "binary.txt");
        AssertRefused(Train("new", "--data", In("short.txt")), "short");
        AssertRefused(Train("new", "--set", "data.content=another"), "than where the run was submitted (another). Give every node the same files under data.path.");
        AssertRefused(Run("train", "--resume", In("kept"), "--steps", "9", "--set", "model.layers=2"), "model.layers");
        AssertRefused(Run("train", "--resume", In("kept"), "--steps", "8"), "nothing to do");
        AssertRefused(Run("train", "--resume", In("nowhere")), "nowhere");
        Assert.False(Directory.Exists(In("new")), "a refused run leaves no directory");
        Assert.Equal(metrics, File.ReadAllText(new RunFiles(In("kept")).Metrics));
    }

    [Fact]
    public void A_checkpoint_of_another_model_is_refused()
    {
        Assert.Equal(ExitCode.Done, Train("one").Code);
        Assert.Equal(ExitCode.Done, Train("two", "--set", "model.width=64").Code);
        Directory.Delete(Path.Combine(In("one"), "checkpoints"), recursive: true);
        Directory.Move(Path.Combine(In("two"), "checkpoints"), Path.Combine(In("one"), "checkpoints"));
        AssertRefused(Run("train", "--resume", In("one"), "--steps", "9"), "model.width is 64 there and 32 here");
    }

    [Fact]
    public void A_run_in_use_is_refused_and_stays_as_it_was()
    {
        Assert.Equal(ExitCode.Done, Train("busy").Code);
        using (RunDirectory.OpenForResume(In("busy"))) AssertRefused(Run("train", "--resume", In("busy"), "--steps", "9"), "in use");
        Assert.NotNull(new FolderCheckpointStore(new RunFiles(In("busy")).Checkpoints).OpenLatest().Reader);
    }

    [Fact]
    public void A_dry_run_prints_the_arithmetic_and_leaves_nothing()
    {
        var dry = Train("dry", "--dry-run");
        Assert.Equal(ExitCode.Done, dry.Code);
        Assert.Contains("bubble", dry.Output, StringComparison.Ordinal);
        Assert.False(Directory.Exists(In("dry")));
    }

    [Fact]
    public void A_run_that_diverges_names_step_and_micro_batch_and_keeps_its_last_checkpoint()
    {
        foreach (var (name, layout) in new (string, string[])[] { ("piped", ["--stages", "2"]), ("unsplit", ["--reference"]) })
        {
            // A decay of learning-rate · weight-decay = 100 a step multiplies the weights by −99: they leave fp32 within some twenty steps.
            var run = Train(name, ["--steps", "40", "--set", "optimizer.learning-rate=10", "--set", "optimizer.weight-decay=10", "--set", "optimizer.warmup=0", .. layout]);
            Assert.True(run.Code == ExitCode.Failed, $"exit {run.Code}: {run.Error}");
            Assert.Matches("[Ss]tep [0-9]+.*(micro-batch|gradient norm)", run.Error);
            // What was measured until then is held against the prediction, which the unsplit trainer has none of.
            Assert.Equal(name == "piped", run.Output.Contains("prediction costs are", StringComparison.Ordinal));
            Assert.DoesNotContain("   at ", run.Error, StringComparison.Ordinal);
            var metrics = MetricsReader.Read(new RunFiles(In(name)).Metrics).OfType<StepMetrics>().ToList();
            // The one that was passed over has its line.
            Assert.Contains(metrics, step => double.IsNaN(step.Loss));
            Assert.All(metrics.TakeWhile(step => step.Step <= 4), step => Assert.True(double.IsFinite(step.Loss)));
            using var reader = new FolderCheckpointStore(new RunFiles(In(name)).Checkpoints).OpenLatest().Require();
            Assert.InRange(reader.Step, 4, metrics[^1].Step);
        }
    }

    [SkippableFact]
    public void A_disk_that_fills_up_costs_the_last_save_alone_and_the_run_goes_on_once_there_is_room()
    {
        using var disk = SmallDisk.Mount(In("disk"), 8192);
        Assert.Equal(ExitCode.Done, Train("disk/run", "--steps", "4", "--set", "optimizer.horizon=8").Code);
        disk.FillUpTo(64 * 1024);
        var failed = Run("train", "--resume", In("disk/run"), "--steps", "8", "--reference");
        Assert.True(failed.Code == ExitCode.Failed, $"exit {failed.Code}: {failed.Error}");
        Assert.Contains("last checkpoint could not be saved", failed.Error, StringComparison.Ordinal);
        Assert.Contains("The disk is full", failed.Error, StringComparison.Ordinal);
        disk.Empty();
        var resumed = Run("train", "--resume", In("disk/run"), "--steps", "8");
        Assert.Equal(ExitCode.Done, resumed.Code);
        Assert.Contains("from step 4", resumed.Output, StringComparison.Ordinal);
        Assert.Equal(ExitCode.Done, Train("whole").Code);
        Assert.Equal(Numbers("whole"), Numbers("disk/run"));
    }

    [SkippableFact]
    public void A_folder_that_cannot_be_written_is_refused_before_the_first_step()
    {
        using var disk = SmallDisk.Mount(In("disk"), 8192);
        Assert.Equal(ExitCode.Done, Train("disk/run", "--steps", "4").Code);
        disk.MakeReadOnly();
        AssertRefused(Train("disk/new"), "disk/new");
        AssertRefused(Run("train", "--resume", In("disk/run"), "--steps", "8"), "disk/run");
        AssertRefused(Run("data", "prepare", "--data", In("corpus.txt"), "--cache", In("disk/cache")), "disk/cache");
    }

    private static void AssertRefused(CommandLineRun run, string expected)
    {
        Assert.True(run.Code == ExitCode.Refused, $"exit {run.Code}: {run.Error}");
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", run.Error, StringComparison.Ordinal);
    }

    private CommandLineRun Train(string name, params string[] more) => _training.Train(name, more);

    private CommandLineRun Run(params string[] arguments) => _training.Run(arguments);

    private string[] Numbers(string name) => _training.Numbers(name);

    private string In(string name) => _training.In(name);
}
