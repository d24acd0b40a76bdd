using System.CommandLine;
using System.Text.Json;
using Pipeline.Cli.Execution;
using Pipeline.Model.Generation;
using Pipeline.Model.Numerics;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline generate</c>: text from a run's checkpoint.</summary>
internal sealed class GenerateCommand
{
    private readonly Option<string> run = new("--run") { HelpName = "DIR", Description = "Directory of the run.", Required = true };
    private readonly Option<long?> checkpoint = new("--checkpoint") { HelpName = "N", Description = "Step of the checkpoint; the newest by default." };
    private readonly Option<string> prompt = new("--prompt") { HelpName = "TEXT", Description = "Text to continue; by default the model begins a document.", DefaultValueFactory = _ => "" };
    private readonly Option<int> maxTokens = new("--max-tokens") { HelpName = "N", Description = "Tokens to write at most.", DefaultValueFactory = _ => 200 };
    private readonly Option<double> temperature = new("--temperature") { HelpName = "T", Description = "0 takes the likeliest token, 1 the model's own distribution.", DefaultValueFactory = _ => 0.8 };
    private readonly Option<int> topK = new("--top-k") { HelpName = "K", Description = "Only the K likeliest tokens; 0 for all.", DefaultValueFactory = _ => 50 };
    private readonly Option<double> topP = new("--top-p") { HelpName = "P", Description = "Only the likeliest tokens that hold this probability together; 1 for all.", DefaultValueFactory = _ => 1 };
    private readonly Option<ulong> seed = new("--seed") { HelpName = "N", Description = "The same seed writes the same text.", DefaultValueFactory = _ => 1 };
    private readonly Option<bool> json = ConfigCommand.JsonOption();
    private readonly CommandContext context;

    private GenerateCommand(CommandContext context) => this.context = context;

    public static Command Create(CommandContext context)
    {
        GenerateCommand self = new(context);
        TaughtCommand command = new("generate", "Continues a prompt with the weights of a run's checkpoint.")
        {
            Examples =
            [
                ("pipeline generate --run runs/2026-05-01-gpt-micro-001 --prompt \"Gets or sets\"", "a continuation"),
                ("pipeline generate --run DIR --temperature 0 --max-tokens 50", "the likeliest text"),
            ],
        };
        foreach (var option in new Option[] { self.run, self.checkpoint, self.prompt, self.maxTokens, self.temperature, self.topK, self.topP, self.seed, self.json }) command.Add(option);
        command.SetAction(self.Run);
        return command;
    }

    private int Run(ParseResult parsed)
    {
        var settings = new SamplingSettings
        {
            Temperature = parsed.GetValue(temperature),
            TopK = parsed.GetValue(topK),
            TopP = parsed.GetValue(topP),
            Seed = parsed.GetValue(seed),
        };
        var count = parsed.GetValue(maxTokens);
        List<string> faults = [.. settings.Faults()];
        if (count < 1) faults.Add($"--max-tokens is {count}; at least 1 is expected.");
        if (faults.Count > 0) throw new UsageException(string.Join(Environment.NewLine, faults));
        TorchRuntime.Initialize();
        using var stored = StoredRun.Open(parsed.GetValue(run)!, context, CancellationToken.None);
        var step = Step(stored, parsed.GetValue(checkpoint));
        using var model = stored.Model(step, trains: false);
        var tokenizer = stored.Materials.Data.Tokenizer;
        int[] begin = parsed.GetValue(prompt) is { Length: > 0 } text ? tokenizer.Encode(text) : [tokenizer.EndOfText];
        var generator = new TextGenerator(model, stored.Materials.Settings.Model.Context, tokenizer.VocabularySize);
        var written = generator.Continue(begin, settings, count, tokenizer.EndOfText).ToArray();
        var whole = tokenizer.Decode([.. begin.Where(token => token != tokenizer.EndOfText), .. written]);
        context.Output.WriteLine(parsed.GetValue(json)
            ? JsonSerializer.Serialize(new { step, prompt = parsed.GetValue(prompt), text = whole, tokens = written }, JsonOutput.Options)
            : whole);
        return ExitCode.Done;
    }

    private long Step(StoredRun stored, long? wanted)
    {
        if (wanted is { } named) return named;
        var selection = stored.Checkpoints.OpenLatest();
        foreach (var skipped in selection.Skipped) context.Error.WriteLine(skipped.Sentence);
        using var reader = selection.Require();
        return reader.Step;
    }
}
