using System.CommandLine;
using System.Text.Json;
using Pipeline.Cli;
using Pipeline.Cli.Commands;
using Pipeline.Cli.Configuration;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>Holds what scripts rely on: words, options, keys, exit codes, and where messages go.</summary>
public sealed class CommandContractTests
{
    [Fact]
    public void Exit_codes_mean_what_they_always_meant() => Assert.Equal(
        (0, 1, 2, 3, 130), (ExitCode.Done, ExitCode.Failed, ExitCode.Refused, ExitCode.MachineLacks, ExitCode.Interrupted));

    [Theory]
    [InlineData("pipeline: there is no command 'confg'. Did you mean config?", "confg")]
    [InlineData("pipeline config: there is no command 'valdate'. Did you mean validate?", "config", "valdate")]
    [InlineData("pipeline config show: there is no option '--jsn'. Did you mean --json?", "config", "show", "--jsn")]
    [InlineData("pipeline config show: there is no argument 'extra'.", "config", "show", "extra")]
    [InlineData("pipeline config: expected a command after it: show, validate.", "config")]
    [InlineData("Required argument missing for option: '--set'.", "config", "show", "--set")]
    [InlineData("pipeline generate: --temperature expects a number; found 'hot'.", "generate", "--run", "x", "--temperature", "hot")]
    [InlineData("pipeline generate: --top-k expects a whole number; found 'many'.", "generate", "--run", "x", "--top-k", "many")]
    [InlineData("pipeline verify: expected RUN after it.", "verify")]
    [InlineData("pipeline.preset (--preset): Expected one of gpt-nano, gpt-micro, gpt-small, llama-nano; did you mean gpt-nano? Found \"gpt-nan\".", "config", "show", "--preset", "gpt-nan")]
    public void Wrong_usage_exits_2_with_a_sentence_on_stderr_and_nothing_on_stdout(string sentence, params string[] arguments)
    {
        var run = CommandLineRun.Of(arguments);
        Assert.Equal(ExitCode.Refused, run.Code);
        Assert.Equal(sentence, run.Error.Split('\n')[0].TrimEnd());
        Assert.Empty(run.Output);
        Assert.DoesNotContain("   at ", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void No_words_at_all_lists_the_words()
    {
        var run = CommandLineRun.Of();
        Assert.Equal(ExitCode.Refused, run.Code);
        Assert.StartsWith("pipeline: expected a command after it: ", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Help_of_every_word_describes_it_and_shows_examples()
    {
        foreach (var path in Paths(Tree()))
        {
            var run = CommandLineRun.Of(new Dictionary<string, string>(), TreeWithTrain, [.. path, "--help"]);
            Assert.Equal(ExitCode.Done, run.Code);
            Assert.Contains("Usage:", run.Output, StringComparison.Ordinal);
            if (Find(Tree(), path).Subcommands.Count == 0) Assert.Contains("Examples:", run.Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Every_option_has_a_description() =>
        Assert.All(Paths(Tree()).SelectMany(path => Find(Tree(), path).Options), option => Assert.False(string.IsNullOrWhiteSpace(option.Description), option.Name));

    [Fact]
    public void Every_query_has_json()
    {
        string[] actions = ["train", "node", "console", "generate", "data prepare", "data fetch", "certs init", "certs issue", "checkpoint export"];
        foreach (var path in Paths(Tree()).Where(path => Find(Tree(), path).Subcommands.Count == 0 && !actions.Contains(string.Join(" ", path))))
            Assert.Contains(Find(Tree(), path).Options, option => option.Name == "--json");
    }

    [Fact]
    public void Train_has_the_options_of_the_contract()
    {
        string[] expected =
        [
            "--preset", "--data", "--stages", "--micro-batches", "--micro-batch-size", "--schedule", "--precision", "--steps", "--seed", "--run",
            "--resume", "--reference", "--processes", "--cluster", "--dry-run", "-c", "--set", "--cache",
        ];
        Assert.Equal(expected.Order(), Find(Tree(), ["train"]).Options.Select(option => option.Name).Order());
    }

    [Fact]
    public void Keys_are_those_of_the_contract()
    {
        string[] promised =
        [
            "model.layers", "model.width", "model.heads", "model.kv-heads", "model.context", "model.vocabulary", "model.tied", "model.dropout",
            "optimizer.learning-rate", "optimizer.warmup", "optimizer.horizon", "optimizer.clip", "optimizer.weight-decay", "optimizer.betas",
            "parallelism.data", "parallelism.tensor", "parallelism.pipeline", "parallelism.optimizer", "precision", "plan", "device", "seed",
        ];
        Assert.Empty(promised.Except(SettingsSchema.All.Select(setting => setting.Path)));
        string[] sections = ["data", "schedule", "numerics", "link", "checkpoint", "run"];
        Assert.All(sections, section => Assert.True(SettingsSchema.IsSection("pipeline." + section), section));
    }

    [Fact]
    public void Config_show_prints_what_validate_accepts()
    {
        using TemporaryFolder folder = new();
        var file = folder.File("all.conf", CommandLineRun.Of("config", "show", "--preset", "llama-nano", "--origin", "false").Output);
        var run = CommandLineRun.Of("config", "validate", "-c", file);
        Assert.Equal((ExitCode.Done, ""), (run.Code, run.Error));
    }

    [Fact]
    public void Config_validate_as_json_lists_every_fault()
    {
        using TemporaryFolder folder = new();
        var file = folder.File("bad.conf", "pipeline {\n  seed = x\n  sead = 1\n}\n");
        var run = CommandLineRun.Of("config", "validate", "-c", file, "--json");
        Assert.Equal(ExitCode.Refused, run.Code);
        using var json = JsonDocument.Parse(run.Output);
        Assert.False(json.RootElement.GetProperty("valid").GetBoolean());
        Assert.Equal(["pipeline.seed", "pipeline.sead"], json.RootElement.GetProperty("faults").EnumerateArray().Select(fault => fault.GetProperty("key").GetString()));
        Assert.Equal(2, json.RootElement.GetProperty("faults")[0].GetProperty("line").GetInt32());
    }

    [Fact]
    public void The_environment_reaches_every_command()
    {
        var run = CommandLineRun.Of(new Dictionary<string, string> { ["PIPELINE__SEED"] = "77" }, CommandTree.Create, "config", "show");
        Assert.Contains("pipeline.seed = 77 ", run.Output, StringComparison.Ordinal);
        Assert.Contains("# environment PIPELINE__SEED", run.Output, StringComparison.Ordinal);
    }

    private static RootCommand Tree() =>
        TreeWithTrain(new() { Output = TextWriter.Null, Error = TextWriter.Null, Variables = new Dictionary<string, string>() });

    private static RootCommand TreeWithTrain(CommandContext context)
    {
        var root = CommandTree.Create(context);
        if (root.Subcommands.All(command => command.Name != "train")) root.Add(TrainCommand.Create(context, (_, _) => Task.FromResult(0)));
        return root;
    }

    private static IEnumerable<string[]> Paths(Command command) =>
        command.Subcommands.SelectMany(sub => Paths(sub).Select(rest => (string[])[sub.Name, .. rest]).Prepend([sub.Name]));

    private static Command Find(Command root, string[] path) => path.Aggregate(root, (command, word) => command.Subcommands.Single(sub => sub.Name == word));

    [Theory]
    [InlineData("checkpoint", "now")]
    [InlineData("move", "0", "somewhere", "--yes")]
    [InlineData("drain", "somewhere", "--yes")]
    [InlineData("set", "lr", "1e-4", "--yes")]
    public void Words_of_the_operator_are_understood_before_a_run_is_looked_for(params string[] words)
    {
        var run = CommandLineRun.Of(["ctl", .. words, "--run", "/does/not/exist"]);
        Assert.DoesNotContain("Cannot parse", run.Error, StringComparison.Ordinal);
        Assert.Contains("/does/not/exist", run.Error, StringComparison.Ordinal);
    }
}
