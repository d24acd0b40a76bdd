using System.Diagnostics;
using System.Globalization;
using Pipeline.Bench.Reports;
using Pipeline.Bench.Workloads;
using Pipeline.Runs;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>
/// What compression between two replicas costs in learning: validation losses of small runs on the default corpus with each kind, over several seeds,
/// and the bytes that they send. Each run is one of the program's own, kept under the report's folder; one that is there already is read, not repeated.
/// </summary>
internal static class CompressionCurves
{
    private const double AllowedLoss = 0.01;
    private const double WantedReduction = 0.9;
    private const int SeedCount = 3;
    private const string Uncompressed = "none";

    /// <summary>The preset gpt-nano with small steps, so that all runs together take a quarter of an hour on two cores.</summary>
    private static readonly string[] s_small = ["schedule.micro-batches=2", "schedule.micro-batch-size=1", "run.eval-batches=32", "checkpoint.every=0", "run.trace-steps=0", "run.digest-every=0"];

    private static readonly (string Name, string[] Settings)[] s_kinds =
    [
        (Uncompressed, []),
        ("bf16", ["compression.kind=bf16", "compression.answer=bf16"]),
        ("int8", ["compression.kind=int8", "compression.answer=int8"]),
        ("int4", ["compression.kind=int4", "compression.answer=int4"]),
        ("int4-stochastic", ["compression.kind=int4", "compression.answer=int4", "compression.rounding=stochastic"]),
        ("int4-without-feedback", ["compression.kind=int4", "compression.answer=int4", "compression.error-feedback=false"]),
        ("top-k", ["compression.kind=top-k", "compression.answer=int8", "compression.warmup=50"]),
        ("top-k-both", ["compression.kind=top-k", "compression.answer=top-k", "compression.warmup=50"]),
        ("power-sgd", ["compression.kind=power-sgd", "compression.answer=power-sgd", "compression.warmup=50"]),
        ("power-sgd-8", ["compression.kind=power-sgd", "compression.answer=power-sgd", "compression.warmup=50", "compression.rank=8"]),
        ("one-bit", ["compression.kind=one-bit", "compression.answer=one-bit", "compression.warmup=100"]),
        ("one-bit-following", ["compression.kind=one-bit", "compression.answer=one-bit", "compression.warmup=100", "compression.second-moment=follow"]),
        ("local-25-int8", ["reduction.local-steps=25", "compression.kind=int8", "compression.answer=int8"]),
        ("local-50-int4", ["reduction.local-steps=50", "compression.kind=int4", "compression.answer=int4"]),
    ];

    /// <summary>
    /// Runs what is missing and compares. Seed by seed, so that whoever breaks it off has all kinds with fewer seeds and goes on with the same command; the report is
    /// kept after each run.
    /// </summary>
    /// <param name="options">Steps, seeds (pairs), and the only kinds wanted, separated by commas.</param>
    /// <param name="keep">Takes the report so far.</param>
    public static BenchReport Measure(BenchOptions options, Action<BenchReport> keep)
    {
        var stepCount = options.StepCount ?? (options.IsQuick ? 4 : 500);
        var seedCount = options.PairCount ?? (options.IsQuick ? 1 : SeedCount);
        var folder = Path.Combine(options.ReportFolder, options.IsQuick ? "curves-quick" : $"curves-{stepCount}");
        var only = options.WireKind?.Split(',');
        var wanted = s_kinds.Where(kind => only is null || only.Contains(kind.Name) || kind.Name == Uncompressed).ToArray();
        var curves = wanted.ToDictionary(kind => kind.Name, _ => new List<Point[]>());
        var missing = Enumerable.Range(1, seedCount).SelectMany(seed => wanted.Select(kind => Folder(folder, kind.Name, seed))).Count(run => !IsWhole(run, stepCount));
        var start = Stopwatch.GetTimestamp();
        var trainedCount = 0;
        Dictionary<string, string> failed = [];
        foreach (var (kind, seed) in Enumerable.Range(1, seedCount).SelectMany(seed => wanted.Select(kind => (kind, seed))))
        {
            // Seed for seed is held against seed for seed: of what has failed no further one is tried.
            if (failed.ContainsKey(kind.Name)) continue;
            var run = Folder(folder, kind.Name, seed);
            if (!IsWhole(run, stepCount))
            {
                Console.WriteLine($"training {run}, {trainedCount + 1} of {missing}{(trainedCount > 0 ? $"; about {Stopwatch.GetElapsedTime(start).TotalMinutes / trainedCount * (missing - trainedCount):F0} min for all" : "")}");
                trainedCount++;
                // Nobody may be there to start what is left once more.
                if (Train(run, kind.Settings, seed, stepCount, options.IsQuick) is var code and not 0)
                {
                    failed[kind.Name] = $"seed {seed} ended with {code}";
                    Console.WriteLine($"{run} ended with {code}");
                    continue;
                }
            }

            curves[kind.Name].Add(Points(new RunFiles(run).Metrics));
            keep(Report(curves, failed, stepCount, seedCount));
        }

        return Report(curves, failed, stepCount, seedCount);
    }

    private static BenchReport Report(Dictionary<string, List<Point[]>> curves, Dictionary<string, string> failed, int stepCount, int seedCount) => new(
        "curves",
        "Validation loss with compression between two replicas",
        $"The preset gpt-nano on the default corpus, the SDK's own reference documentation, with parallelism.data = 2 and one stage, {stepCount} steps of {string.Join(", ", s_small.Take(2))}, {seedCount} seeds. Bytes are those of tensors "
        + "sent to the other replica in the last half of the steps, after any warm-up, contribution and answer together, as the runs' metrics have them. The loss is the mean over the seeds, of the same 32 held-out micro-batches, held against that of the same seeds "
        + $"without compression; within 1 %: at most {AllowedLoss:P0} above it. Losing configurations are shown too.",
        ["compression", "validation loss", "each seed", "against none", "less traffic", "× fewer bytes", "verdict"],
        [.. curves.Where(kind => kind.Value.Count > 0 && curves[Uncompressed].Count > 0).Select(kind => Row(kind.Key, kind.Value, curves[Uncompressed]))])
    {
        Remarks =
        [
            .. failed.Count > 0 ? [$"Failed: {string.Join("; ", failed.Select(kind => $"{kind.Key}, {kind.Value}"))}."] : Array.Empty<string>(),
            .. curves[Uncompressed].Count > 0 ? [Verdicts(curves)] : Array.Empty<string>(),
            .. curves.Values.Any(runs => runs.Count < seedCount)
                ? [$"Not finished: {string.Join(", ", curves.Where(kind => kind.Value.Count < seedCount).Select(kind => $"{kind.Key} ({kind.Value.Count} of {seedCount} seeds)"))}. The same command goes on."]
                : Array.Empty<string>(),
            "All curves, step: validation loss.",
            .. curves.SelectMany(kind => kind.Value.Select((curve, seed) => $"{kind.Key}, seed {seed + 1}: {string.Join(", ", curve.Select(point => $"{point.Step}: {point.Loss:F3}"))}")),
        ],
    };

    /// <summary>Which configurations do what is wanted, which are near without it, and which lose.</summary>
    private static string Verdicts(Dictionary<string, List<Point[]>> curves)
    {
        var groups = curves.Where(kind => kind.Key != Uncompressed && kind.Value.Count > 0).Select(kind => Row(kind.Key, kind.Value, curves[Uncompressed])).GroupBy(row => row[^1], row => row[0]);
        return string.Join("; ", groups.OrderByDescending(group => group.Key).Select(group => $"{group.Key}: {string.Join(", ", group)}")) + ".";
    }

    private static IReadOnlyList<string> Row(string name, List<Point[]> runs, List<Point[]> uncompressed)
    {
        // Seeds differ by more than kinds do.
        var same = uncompressed.Take(runs.Count).ToArray();
        var (loss, exact, reduction) = (runs.Average(curve => curve[^1].Loss), same.Average(curve => curve[^1].Loss), 1 - Bytes(runs) / Bytes(same));
        var isNear = loss <= exact * (1 + AllowedLoss);
        return
        [
            name, $"{loss:F4}", string.Join(' ', runs.Select(curve => $"{curve[^1].Loss:F4}")), $"{(loss / exact - 1) * 100:+0.00;-0.00;0.00} %", $"{reduction:P1}",
            $"{1 / Math.Max(1 - reduction, 1e-9):F1}", isNear ? reduction >= WantedReduction ? "within 1 %, 90 % less" : "within 1 %" : "lost",
        ];
    }

    private static double Bytes(IEnumerable<Point[]> runs) => runs.Average(curve => curve[0].SentBytes);

    private static string Folder(string folder, string name, int seed) => Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{name}-{seed}"));

    private static bool IsWhole(string run, int stepCount) => File.Exists(new RunFiles(run).Metrics) && Points(new RunFiles(run).Metrics).LastOrDefault()?.Step == stepCount;

    private static Point[] Points(string metrics)
    {
        var lines = MetricsReader.Read(metrics).ToArray();
        var steps = lines.OfType<StepMetrics>().ToArray();
        var sent = steps.Skip(steps.Length / 2).Select(step => (double)step.Stages.Sum(stage => stage.Sent ?? 0)).DefaultIfEmpty(0).Average();
        return [.. lines.OfType<EvaluationMetrics>().Select(line => new Point(line.Step, line.ValidationLoss, sent))];
    }

    /// <summary>Trains, and returns the exit code.</summary>
    private static int Train(string run, string[] settings, int seed, int stepCount, bool isQuick)
    {
        if (Directory.Exists(run)) Directory.Delete(run, recursive: true);
        ProcessStartInfo start = new("dotnet") { UseShellExecute = false, RedirectStandardOutput = true };
        string[] quick = isQuick ? ["model.layers=2", "model.width=32", "model.heads=2", "model.context=32", "model.vocabulary=257"] : [];
        string[] all = ["parallelism.data=2", .. s_small, "run.sample-tokens=0", $"run.eval-every={Math.Max(1, stepCount / 10)}", .. settings, .. quick];
        foreach (var word in (string[])[BuiltProgram.File(), "train", "--run", run, "--steps", $"{stepCount}", "--seed", $"{seed}", "--preset", "gpt-nano", "--stages", "1", "--precision", "fp32", .. all.SelectMany(setting => new[] { "--set", setting })])
            start.ArgumentList.Add(word);
        using var process = Process.Start(start) ?? throw new InvalidOperationException("dotnet did not start.");
        process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode;
    }

    /// <summary>A point of a curve.</summary>
    /// <param name="Step">Step.</param>
    /// <param name="Loss">Validation loss.</param>
    /// <param name="SentBytes">Bytes a step to the other replica, both ranks, of the whole run's last half.</param>
    private sealed record Point(long Step, double Loss, double SentBytes);
}
