using System.Globalization;
using System.Text.Json;
using Pipeline.Checkpoints;
using Pipeline.Cli;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Cli;

public sealed class QueryCommandTests
{
    [Fact]
    public void Schedule_show_draws_every_rank_and_the_bubble()
    {
        var run = CommandLineRun.Of("schedule", "show", "--stages", "3", "--micro-batches", "4");
        Assert.Equal((ExitCode.Done, ""), (run.Code, run.Error));
        for (var rank = 0; rank < 3; rank++) Assert.Contains($"rank {rank} ", run.Output, StringComparison.Ordinal);
        Assert.Contains("33.3", run.Output, StringComparison.Ordinal); // (p−1) ÷ (m+p−1) = 2 ÷ 6
    }

    [Fact]
    public void A_schedule_printed_as_text_can_be_given_back()
    {
        using TemporaryFolder folder = new();
        var printed = CommandLineRun.Of("schedule", "show", "--schedule", "gpipe", "--csv").Output;
        var file = folder.File("mine.csv", printed);
        Assert.Equal(printed, CommandLineRun.Of("schedule", "show", "--schedule", file, "--csv").Output);
        var other = CommandLineRun.Of("schedule", "show", "--schedule", file, "--stages", "3");
        Assert.Equal(ExitCode.Refused, other.Code);
        Assert.Contains("Set --stages 2 --micro-batches 8", other.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_schedule_is_held_against_what_a_rank_may_hold_where_that_is_said()
    {
        using TemporaryFolder folder = new();
        var file = folder.File("mine.csv", "0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n");
        string[] words = ["schedule", "show", "--schedule", file, "--stages", "2", "--micro-batches", "2"];
        Assert.Equal(ExitCode.Done, CommandLineRun.Of([.. words, "--set", "schedule.rank-memory=1e12"]).Code);
        var tight = CommandLineRun.Of([.. words, "--set", "schedule.rank-memory=1000000"]);
        Assert.Equal(ExitCode.Refused, tight.Code);
        Assert.Contains("rank 0, action 1: 0F0 makes", tight.Error, StringComparison.Ordinal);
        Assert.Contains("[0F0]", tight.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Only_stages_whose_units_drop_something_are_shown_to_recompute()
    {
        var shown = CommandLineRun.Of("schedule", "show", "--csv", "--stages", "2", "--micro-batches", "2", "--set", "schedule.recompute=\"5xfull, 9xnone\"").Output;
        Assert.Contains("0R1", shown, StringComparison.Ordinal);
        Assert.DoesNotContain("1R", shown, StringComparison.Ordinal);
    }

    [Fact]
    public void A_schedule_file_that_does_not_hold_what_it_should_is_refused()
    {
        using TemporaryFolder folder = new();
        var valid = CommandLineRun.Of("schedule", "show", "--micro-batches", "2", "--csv").Output;
        var twice = folder.File("twice.csv", valid.Replace("0F1", "0F0", StringComparison.Ordinal));
        foreach (var file in new[] { folder.File("noise.csv", "F,B\n"), twice, "/does/not/exist.csv" })
        {
            var run = CommandLineRun.Of("schedule", "show", "--schedule", file, "--micro-batches", "2");
            Assert.Equal(ExitCode.Refused, run.Code);
            Assert.DoesNotContain("An error of the program itself", run.Error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Schedule_show_as_json_holds_the_actions()
    {
        using var json = JsonDocument.Parse(CommandLineRun.Of("schedule", "show", "--json").Output);
        var first = json.RootElement.GetProperty("Ranks")[0].GetProperty("Spans")[0].GetProperty("Action").GetString();
        Assert.Equal(new StageAction(0, ActionKind.Forward, 0).ToString(), first);
    }

    [Fact]
    public void Data_is_prepared_once_and_inspected_from_the_cache()
    {
        using TemporaryFolder folder = new();
        var corpus = folder.File("corpus.txt", string.Join("\n\n", Enumerable.Range(0, 400).Select(i => string.Create(CultureInfo.InvariantCulture, $"Document {i} counts {i * i} sheep, and {i % 7} goats."))));
        string[] options = ["--data", corpus, "--cache", Path.Combine(folder.Path, "cache"), "--set", "model.vocabulary=300", "--set", "model.context=16"];
        var prepared = CommandLineRun.Of(["data", "prepare", .. options]);
        Assert.Equal(ExitCode.Done, prepared.Code);
        Assert.Contains("tokenizer   bpe, 300 tokens", prepared.Output, StringComparison.Ordinal);
        using var json = JsonDocument.Parse(CommandLineRun.Of(["data", "inspect", "--json", .. options]).Output);
        Assert.Equal(16, json.RootElement.GetProperty("ContextLength").GetInt32());
        var inspected = CommandLineRun.Of(["data", "inspect", "--samples", "1", .. options]);
        Assert.Equal(ExitCode.Done, inspected.Code);
        foreach (var word in new[] { "baselines   unigram", "trigram", "sample 0 ", "documents" })
            Assert.Contains(word, inspected.Output, StringComparison.Ordinal);
        Assert.Single(Directory.GetDirectories(Path.Combine(folder.Path, "cache")));
    }

    [Theory]
    [InlineData("missing.txt")]
    [InlineData("empty.txt")]
    public void A_corpus_that_cannot_be_learnt_exits_2(string name)
    {
        using TemporaryFolder folder = new();
        folder.File("empty.txt", "");
        var run = CommandLineRun.Of("data", "prepare", "--data", Path.Combine(folder.Path, name), "--cache", folder.Path);
        Assert.Equal((ExitCode.Refused, ""), (run.Code, run.Output));
        Assert.Contains(name, run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Fetch_knows_its_corpora()
    {
        var run = CommandLineRun.Of("data", "fetch", "speaches");
        Assert.Equal(ExitCode.Refused, run.Code);
        Assert.Contains("speeches", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Checkpoints_are_listed_shown_and_verified()
    {
        using TemporaryFolder folder = new();
        Save(folder.Path, 20);
        Save(folder.Path, 40);
        var list = CommandLineRun.Of("checkpoint", "ls", folder.Path);
        Assert.Equal(["40", "20"], list.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]));
        var show = CommandLineRun.Of("checkpoint", "show", folder.Path, "--step", "20");
        Assert.Contains("step       20", show.Output, StringComparison.Ordinal);
        Assert.Contains("F32   [2, 3]  head.weight", show.Output, StringComparison.Ordinal);
        Assert.Equal(ExitCode.Done, CommandLineRun.Of("checkpoint", "verify", folder.Path).Code);
    }

    [Fact]
    public void A_damaged_checkpoint_is_named_and_exits_2()
    {
        using TemporaryFolder folder = new();
        Save(folder.Path, 20);
        Save(folder.Path, 40);
        var file = Path.Combine(folder.Path, "checkpoints", "step-40", CheckpointFileName.Model(0, 1));
        var bytes = File.ReadAllBytes(file);
        bytes[^1] ^= 1;
        File.WriteAllBytes(file, bytes);
        var run = CommandLineRun.Of("checkpoint", "verify", folder.Path);
        Assert.Equal(ExitCode.Refused, run.Code);
        Assert.Contains("head.weight", run.Output, StringComparison.Ordinal);
        using var json = JsonDocument.Parse(CommandLineRun.Of("checkpoint", "verify", folder.Path, "--json").Output);
        Assert.Equal(["damaged", "complete"], json.RootElement.EnumerateArray().Select(item => item.GetProperty("state").GetString()));
    }

    [Theory]
    [InlineData("ls")]
    [InlineData("show")]
    [InlineData("verify")]
    public void A_folder_that_is_not_there_exits_2(string word)
    {
        var run = CommandLineRun.Of("checkpoint", word, "/does/not/exist");
        Assert.Equal((ExitCode.Refused, ""), (run.Code, run.Output));
        Assert.Contains("/does/not/exist", run.Error, StringComparison.Ordinal);
    }

    private static void Save(string runFolder, long step)
    {
        FolderCheckpointStore store = new(Path.Combine(runFolder, "checkpoints"));
        SaveAttempt attempt = new(step, 1);
        var file = store.WriteTensors(attempt, CheckpointFileName.Model(0, 1), [new("head.weight", TensorTypes.F32, [2, 3], (_, destination) => destination.Fill((byte)step))]);
        store.Commit(attempt, new()
        {
            Seed = 1, Model = new Dictionary<string, string> { ["width"] = "3" }, TokenizerHash = "0", Precision = "fp32", DataPosition = new(step, step * 32, step * 512),
        }, [file]);
    }
}
