using System.Globalization;
using System.Text.RegularExpressions;
using Pipeline.Bench.Reports;
using Pipeline.Bench.Workloads;

namespace Pipeline.Bench.Measures;

/// <summary>
/// How far the predicted duration of a step is from the measured one, as a user meets it: the built program profiles the model, then trains it and
/// prints both. Profiles and runs take turns, and the mean of the predictions is held against the mean of what was measured, so that a machine whose
/// speed drifts is not held against the simulator.
/// </summary>
internal static partial class PredictionError
{
    private const int RoundCount = 3;
    private const int StepCount = 40;

    // The first steps of a run are all clipped, so that it waits for its norm of its own accord: the figure without the barrier would not be of this run.
    private static readonly string[] s_withoutBarrier = ["--set", "schedule.barrier=off", "--set", "optimizer.clip=1000000"];

    private static readonly (string Name, string[] Arguments)[] s_configurations =
    [
        ("1f1b, 8 × 1, bf16", ["--precision", "bf16", "--schedule", "1f1b", "--micro-batches", "8", "--micro-batch-size", "1"]),
        ("gpipe, 4 × 2, bf16", ["--precision", "bf16", "--schedule", "gpipe", "--micro-batches", "4", "--micro-batch-size", "2"]),
        ("zb-h1 without the barrier, 8 × 1, bf16", ["--precision", "bf16", "--schedule", "zb-h1", "--micro-batches", "8", "--micro-batch-size", "1", .. s_withoutBarrier]),
        ("interleaved-1f1b over 2 × 2 stages, 8 × 1, bf16", ["--precision", "bf16", "--schedule", "interleaved-1f1b", "--micro-batches", "8", "--micro-batch-size", "1", "--set", "schedule.virtual-stages=2"]),
        ("1f1b, 4 × 2, fp32", ["--precision", "fp32", "--schedule", "1f1b", "--micro-batches", "4", "--micro-batch-size", "2"]),
    ];

    private const double WantedMedian = 0.05;
    private const double WantedWorst = 0.1;

    private const string OfTwoReplicas = "parallelism.data=2";

    private static (string Name, string[] Arguments)[] Replicas =>
    [
        ("two replicas of one stage, 8 × 1, bf16", ["--precision", "bf16", "--schedule", "1f1b", "--micro-batches", "8", "--micro-batch-size", "1", "--stages", "1", "--set", OfTwoReplicas]),
        ("two replicas of one stage, 4 × 2, fp32", ["--precision", "fp32", "--schedule", "1f1b", "--micro-batches", "4", "--micro-batch-size", "2", "--stages", "1", "--set", OfTwoReplicas]),
    ];

    public static async Task<BenchReport> MeasureAsync(BenchOptions options)
    {
        List<(string Name, double Predicted, double Measured)> found = [];
        var folder = Directory.CreateTempSubdirectory("pipeline-prediction-");
        try
        {
            foreach (var (name, arguments) in options.WireKind == "replicas" ? Replicas : [.. s_configurations, .. Replicas])
                found.Add(await OneAsync(name, arguments, Path.Combine(folder.FullName, $"{found.Count}"), options.IsQuick).ConfigureAwait(false));
        }
        finally
        {
            folder.Delete(recursive: true);
        }

        // The goal speaks of five configurations of a pipeline; those of replicas stand beside them.
        double[] errors = [.. found.Where(one => !IsOfReplicas(one.Name)).Select(Error).Order()];
        double[] ofReplicas = [.. found.Where(one => IsOfReplicas(one.Name)).Select(Error).Order()];
        return new BenchReport(
            "prediction", "Predicted against measured duration of a step",
            "gpt-micro on two ranks of one thread each, two stages where nothing else is said; replicas share the micro-batches. `pipeline profile` measures the units for the precision and size of micro-batch at hand, `pipeline train` its step: the median of its steps. "
            + "They take turns, four profiles around three runs; means are compared. The split backward goes on without its norm, with a threshold of clipping that is never reached, and its prediction is that of such steps. "
            + "Error: |predicted − measured| ÷ measured; wanted at most 5 % in the median of the five pipelines and 10 % at worst.",
            ["configuration", "predicted ms", "measured ms", "error", "at most 5 %", "at most 10 %"],
            [.. found.Select(one => (IReadOnlyList<string>)[one.Name, Text($"{one.Predicted:F1}"), Text($"{one.Measured:F1}"), Text($"{Error(one):P1}"), Verdict(Error(one), WantedMedian), Verdict(Error(one), WantedWorst)])])
        {
            Remarks = [.. Remark("Pipelines", errors), .. Remark("Replicas, which the goal does not speak of", ofReplicas)],
        };
    }

    private static IEnumerable<string> Remark(string what, double[] errors)
    {
        if (errors.Length == 0) yield break;
        var (median, worst) = ((errors[(errors.Length - 1) / 2] + errors[errors.Length / 2]) / 2, errors[^1]);
        yield return Text($"{what}: median {median:P1} (wanted {WantedMedian:P0}: {Verdict(median, WantedMedian)}), worst {worst:P1} (wanted {WantedWorst:P0}: {Verdict(worst, WantedWorst)}), of {errors.Length}.");
    }

    private static bool IsOfReplicas(string name) => Replicas.Any(one => one.Name == name);

    private static string Verdict(double error, double wanted) => error <= wanted ? "held" : "missed";

    private static double Error((string Name, double Predicted, double Measured) one) => Math.Abs(one.Predicted - one.Measured) / one.Measured;

    private static async Task<(string Name, double Predicted, double Measured)> OneAsync(string name, string[] arguments, string folder, bool isQuick)
    {
        List<double> predicted = [await PredictedAsync(arguments, folder).ConfigureAwait(false)], measured = [];
        for (var round = 1; round <= (isQuick ? 1 : RoundCount); round++)
        {
            var output = await BuiltProgram.RunAsync(
                ["train", "--preset", "gpt-micro", .. arguments, "--steps", Text($"{(isQuick ? 12 : StepCount)}"), "--set", "run.eval-every=0", "--set", $"profile={folder}.json", "--run", $"{folder}-{round}"]).ConfigureAwait(false);
            measured.Add(Number(Found(MeasuredStep().Match(output), output)));
            predicted.Add(await PredictedAsync(arguments, folder).ConfigureAwait(false));
        }

        Console.WriteLine(Text($"{name}: predicted {string.Join(", ", predicted.Select(one => Text($"{one:F1}")))} ms, measured {string.Join(", ", measured.Select(one => Text($"{one:F1}")))} ms"));
        return (name, predicted.Average(), measured.Average());
    }

    private static async Task<double> PredictedAsync(string[] arguments, string folder)
    {
        await BuiltProgram.RunAsync(["profile", "--preset", "gpt-micro", .. Flags(arguments), "--seconds", "4", "--out", $"{folder}.json"]).ConfigureAwait(false);
        var output = await BuiltProgram.RunAsync(["train", "--preset", "gpt-micro", .. arguments, "--set", $"profile={folder}.json", "--dry-run"]).ConfigureAwait(false);
        return Number(Found(PredictedStep().Match(output), output));
    }

    private static Group Found(Match match, string output) =>
        match.Success ? match.Groups[1] : throw new InvalidOperationException($"No prediction in what the program said:\n{output}");

    // A profile knows nothing of schedules; what it is for are precision and size of the micro-batch, and how many ranks share the memory.
    private static IEnumerable<string> Flags(string[] arguments)
    {
        yield return "--set";
        yield return $"precision={arguments[1]}";
        yield return "--sizes";
        yield return arguments[Array.IndexOf(arguments, "--micro-batch-size") + 1];
        if (!arguments.Contains(OfTwoReplicas, StringComparer.Ordinal)) yield break;
        foreach (var flag in (string[])["--set", OfTwoReplicas, "--set", "parallelism.pipeline=1"]) yield return flag;
    }

    private static double Number(Group group) => double.Parse(group.Value, CultureInfo.InvariantCulture);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    [GeneratedRegex(@"predicted, ([0-9.]+) ms a step")]
    private static partial Regex PredictedStep();

    [GeneratedRegex(@"ms a step, measured ([0-9.]+) ms")]
    private static partial Regex MeasuredStep();
}
