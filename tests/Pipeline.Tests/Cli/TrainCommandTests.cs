using Pipeline.Cli;
using Pipeline.Cli.Commands;
using Pipeline.Cli.Configuration;
using Xunit;

namespace Pipeline.Tests.Cli;

public sealed class TrainCommandTests
{
    private static (CommandLineRun Run, TrainRequest? Request) Train(params string[] arguments)
    {
        TrainRequest? seen = null;
        var run = CommandLineRun.Of(
            new Dictionary<string, string>(),
            context => CommandTree.Create([TrainCommand.Create(context, (request, _) =>
            {
                seen = request;
                return Task.FromResult(ExitCode.Done);
            })]),
            ["train", .. arguments]);
        return (run, seen);
    }

    [Fact]
    public void Flags_become_settings_and_keep_their_names_as_origin()
    {
        var (run, request) = Train("--preset", "gpt-nano", "--data", "books/", "--stages", "3", "--micro-batches", "5", "--micro-batch-size", "2",
            "--schedule", "gpipe", "--precision", "fp32", "--steps", "7", "--seed", "9", "--run", "here", "--set", "model.dropout=0.1", "--dry-run");
        Assert.Equal((0, ""), (run.Code, run.Error));
        var settings = request!.Bound.Settings;
        Assert.Equal(new StepSettings { Schedule = "gpipe", StageCount = 3, ReplicaCount = 1, OptimizerShardCount = 1, MicroBatchCount = 5, MicroBatchSize = 2, Rebalance = settings.Step.Rebalance }, settings.Step);
        Assert.Equal(("gpt-nano", "books/", PrecisionChoice.Fp32, 7, 9L, "here", 0.1),
            (settings.Preset, settings.Data.Path, settings.Precision, settings.Run.StepCount, settings.Seed, settings.Run.Directory, settings.Model.Dropout));
        Assert.True(request.Options.IsDryRun);
        Assert.False(request.Options.IsReference);
        Assert.Equal("--stages", request.Bound.Configuration.OriginOf(SettingsSchema.Stages).ToString());
    }

    [Fact]
    public void Resuming_reads_the_stored_configuration()
    {
        using TemporaryFolder folder = new();
        folder.File("config.conf", ConfigurationPrinter.Hocon(Train("--seed", "5", "--steps", "10").Request!.Bound.Configuration));
        var (run, request) = Train("--resume", folder.Path, "--steps", "20", "--stages", "1");
        Assert.Equal((0, ""), (run.Code, run.Error));
        Assert.Equal((5L, 20, 1), (request!.Bound.Settings.Seed, request.Bound.Settings.Run.StepCount, request.Bound.Settings.Step.StageCount));
        Assert.Equal(folder.Path, request.Options.ResumeDirectory);
    }

    [Fact]
    public void Resuming_with_another_model_exits_2_and_trains_nothing()
    {
        using TemporaryFolder folder = new();
        folder.File("config.conf", ConfigurationPrinter.Hocon(Train().Request!.Bound.Configuration));
        var (run, request) = Train("--resume", folder.Path, "--preset", "gpt-nano", "--seed", "8");
        Assert.Equal(ExitCode.Refused, run.Code);
        Assert.Null(request);
        Assert.Contains("pipeline.preset (--preset): A resumed run keeps what it was started with, gpt-micro", run.Error, StringComparison.Ordinal);
        Assert.Contains("pipeline.seed (--seed): A resumed run keeps", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_truncated_stored_configuration_is_named()
    {
        using TemporaryFolder folder = new();
        folder.File("config.conf", "pipeline.seed = 1\npipeline.model.layers =");
        var run = Train("--resume", folder.Path).Run;
        Assert.Equal(ExitCode.Refused, run.Code);
        Assert.Contains("config.conf, line 2): The key 'pipeline.model.layers' has no value", run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gradients are compressed between replicas", "parallelism.data=2", "compression.kind=int8")]
    [InlineData("activations are compressed between stages", "parallelism.data=1", "compression.activations=int4")]
    public void The_unsplit_trainer_refuses_what_it_cannot_recompute(string sentence, string first, string second)
    {
        var (run, request) = Train("--reference", "--set", first, "--set", second);
        Assert.Equal(ExitCode.Refused, run.Code);
        Assert.Contains(sentence, run.Error, StringComparison.Ordinal);
        Assert.Null(request);
        Assert.NotNull(Train("--set", first, "--set", second).Request);
    }

    [Theory]
    [InlineData("there is no such directory", "--resume", "/does/not/exist")]
    [InlineData("it holds no run", "--resume", "/")]
    [InlineData("found both", "--resume", "/", "--run", "here")]
    public void A_resume_that_cannot_be_is_refused(string sentence, params string[] arguments)
    {
        var (run, request) = Train(arguments);
        Assert.Equal(ExitCode.Refused, run.Code);
        Assert.Contains(sentence, run.Error, StringComparison.Ordinal);
        Assert.Null(request);
    }
}
