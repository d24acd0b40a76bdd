using Pipeline.Cli.Commands;
using Pipeline.Runs;

namespace Pipeline.Tests.Cli;

/// <summary>A small corpus in a folder of its own, and the words that train on it in seconds, as a user would type them. The folder goes with it.</summary>
internal sealed class CommandLineTraining : IDisposable
{
    private static readonly string[] Words = ["the", "cat", "sat", "on", "a", "mat", "while", "dogs", "ran", "home", "quickly", "again"];
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-train-").FullName;

    internal CommandLineTraining() => File.WriteAllText(In("corpus.txt"), Text());

    /// <summary>Trains in a run of that name; eight steps on the corpus, unless told otherwise.</summary>
    internal CommandLineRun Train(string name, params string[] more) => Run(
    [
        "train", "--preset", "gpt-nano", "--run", In(name), .. Unless(more, "--data", In("corpus.txt")), .. Unless(more, "--steps", "8"), .. Unless(more, "--micro-batches", "3"), "--micro-batch-size", "2",
        "--set", "model.layers=1", "--set", "model.width=32", "--set", "model.heads=2", "--set", "model.context=16", "--set", "model.vocabulary=300",
        "--set", "run.eval-every=4", "--set", "run.digest-every=2", "--set", "checkpoint.every=4", "--set", "run.sample-tokens=8", "--set", "model.dropout=0.1", .. more,
    ]);

    /// <summary>Runs any command line, with a cache of its own.</summary>
    internal CommandLineRun Run(params string[] arguments) =>
        CommandLineRun.Of(new Dictionary<string, string>(StringComparer.Ordinal) { ["PIPELINE__DATA__CACHE"] = In("cache") }, CommandTree.Create, arguments);

    /// <summary>Losses, norms, validation losses and digests: everything of a run but its times.</summary>
    internal string[] Numbers(string name) => [.. MetricsReader.Read(new RunFiles(In(name)).Metrics).Select(line => line switch
    {
        StepMetrics step => $"{step.Step} {step.Loss:R} {step.GradientNorm:R} {step.LearningRate:R} {string.Join(',', step.Digest?.Values ?? [])}",
        EvaluationMetrics evaluation => $"{evaluation.Step} {evaluation.ValidationLoss:R}",
        _ => "",
    })];

    /// <summary>A path in the folder.</summary>
    internal string In(string name) => Path.Combine(_folder, name);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static string[] Unless(string[] given, string option, string value) => given.Contains(option) ? [] : [option, value];

    private static string Text() => string.Join("\n\n", Enumerable.Range(0, 60).Select(document =>
        string.Join(' ', Enumerable.Range(0, 50).Select(word => Words[(document * 7 + word * word * 3 + word * document) % Words.Length])) + "."));
}
