using System.Text;
using System.Text.Json;
using Pipeline.Nodes;
using Pipeline.Runs;

namespace Pipeline.Chaos;

/// <summary>A model and a corpus that train in seconds, a folder for its runs, and the bits that the unsplit trainer gives.</summary>
public sealed class TinyTraining : IDisposable
{
    /// <summary>Steps of the usual run.</summary>
    public const int Steps = 24;

    /// <summary>What a step of the unsplit trainer is allowed to take: far more than it needs, since the machine may be busy.</summary>
    private const double SecondsPerStep = 0.2;

    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-cluster-").FullName;
    private readonly Dictionary<string, Task<RunBits>> _references = new(StringComparer.Ordinal);

    /// <summary>Makes the folder and the corpus.</summary>
    public TinyTraining()
    {
        string[] words = ["the", "cat", "sat", "on", "a", "mat", "while", "dogs", "ran", "home", "quickly", "again"];
        var random = new Random(7);
        StringBuilder text = new();
        for (var document = 0; document < 60; document++)
        {
            for (var word = 0; word < 80; word++) text.Append(words[random.Next(words.Length)]).Append(' ');
            text.Append("\n\n");
        }

        File.WriteAllText(In("corpus.txt"), text.ToString());
    }

    /// <summary>A path in the folder.</summary>
    public string In(string name) => Path.Combine(_folder, name);

    /// <summary>Arguments of a run in a directory of this folder.</summary>
    public IEnumerable<string> Arguments(string run, int steps = Steps, params IEnumerable<string> more) =>
    [
        "train", "--preset", "gpt-nano", "--data", In("corpus.txt"), "--cache", In("cache"), "--run", In(run), "--steps", $"{steps}", "--micro-batches", "4",
        .. more.Contains("--precision") ? Array.Empty<string>() : ["--precision", "fp32"],
        "--set", "model.layers=2", "--set", "model.width=32", "--set", "model.heads=2", "--set", "model.context=32", "--set", "model.vocabulary=257",
        "--set", "optimizer.horizon=100", "--set", "run.digest-every=1", "--set", "run.eval-every=10", "--set", "checkpoint.every=10", "--set", "run.sample-tokens=0",
        .. more,
    ];

    /// <summary>Arguments of a run of the preset gpt-nano as it is, without evaluations: what recoveries are measured on.</summary>
    internal IEnumerable<string> NanoArguments(string run, int steps, params IEnumerable<string> more) =>
    [
        "train", "--preset", "gpt-nano", "--data", In("corpus.txt"), "--cache", In("cache"), "--run", In(run), "--steps", $"{steps}", "--micro-batches", "4",
        "--set", "optimizer.horizon=100", "--set", "run.digest-every=0", "--set", "run.eval-every=0", "--set", "checkpoint.every=100", "--set", "run.sample-tokens=0",
        .. more,
    ];

    /// <summary>What the unsplit trainer gives after so many steps.</summary>
    /// <param name="steps">Steps.</param>
    /// <param name="settings">Words of the command line that the bits depend on, such as the replicas whose order of addition is followed.</param>
    internal Task<RunBits> ReferenceAsync(int steps = Steps, params string[] settings)
    {
        var run = string.Join('-', [$"reference-{steps}", .. settings.Where(word => !word.StartsWith("--", StringComparison.Ordinal)).Select(word => word.Replace('=', '-'))]);
        lock (_references)
        {
            return _references.TryGetValue(run, out var known) ? known : _references[run] = MakeAsync();
        }

        async Task<RunBits> MakeAsync()
        {
            using var reference = ProgramRun.Start(Arguments(run, steps, [.. settings, "--reference"]));
            // Long ones, and those of several replicas, take minutes on a small machine.
            return await reference.EndAsync(120 + steps * SecondsPerStep) == 0 ? RunBits.Of(In(run)) : throw new InvalidOperationException(reference.Output);
        }
    }

    /// <summary>Asks a run for its status until it answers and the condition holds.</summary>
    internal async Task<ControlStatus> StatusAsync(string run, Func<ControlStatus, bool> until, double seconds = 180)
    {
        var start = TimeProvider.System.GetTimestamp();
        while (true)
        {
            if ((await RunEndpoint.AskAsync(new RunFiles(In(run)), ControlCommand.Status))?.Status is { } status && until(status)) return status;
            if (TimeProvider.System.GetElapsedTime(start).TotalSeconds > seconds) throw new TimeoutException($"{run} did not get there within {seconds} s.");
            await Task.Delay(50);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(_folder, recursive: true);
}

/// <summary>Everything of a run that must not depend on where it ran: losses, norms, held-out losses, hashes of the state, by step.</summary>
internal sealed record RunBits(IReadOnlyList<string> Lines)
{
    public static RunBits Of(string run)
    {
        List<(long Step, bool IsEvaluation, string Line)> lines = [];
        foreach (var line in File.ReadLines(new RunFiles(run).Metrics))
        {
            using var json = JsonDocument.Parse(line);
            var root = json.RootElement;
            lines.Add((root.GetProperty("step").GetInt64(), root.TryGetProperty("val_loss", out _), string.Join(' ', new[] { "step", "loss", "grad_norm", "lr", "tokens", "val_loss", "digest" }
                .Where(name => root.TryGetProperty(name, out _)).Select(name => name + "=" + root.GetProperty(name).GetRawText()))));
        }

        // An evaluation may be heard of before the last rank's report of its step.
        return new RunBits([.. lines.OrderBy(line => line.Step).ThenBy(line => line.IsEvaluation).Select(line => line.Line)]);
    }
}
