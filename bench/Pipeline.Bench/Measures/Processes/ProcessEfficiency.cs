using System.Globalization;
using Pipeline.Bench.Reports;
using Pipeline.Model;

namespace Pipeline.Bench.Measures.Processes;

/// <summary>Two stages in two processes against the same two stages on two threads of one process: what processes cost a run.</summary>
internal static class ProcessEfficiency
{
    private const double Target = 0.97;

    // The first steps fill pools and caches.
    private const int WarmUp = 2;

    private static readonly string[] s_two = ["--processes", "2", .. TimedTraining.Settings("protection.kind=none")];

    /// <summary>Measures in the arithmetic that is asked for, or in fp32.</summary>
    public static BenchReport Measure(BenchOptions options)
    {
        var precision = options.Precision ?? Precision.Fp32;
        var (pairs, steps) = (options.PairCount ?? (options.IsQuick ? 1 : 4), options.StepCount ?? 5);
        string[] model = options.IsQuick
            ? [.. TimedTraining.Tiny]
            : [.. TimedTraining.Settings("model.layers=8", "model.width=512", "model.heads=8", "model.context=256", $"model.vocabulary={options.Vocabulary ?? 512}", "model.tied=false", "schedule.micro-batch-size=4")];
        string[] words = ["--preset", "gpt-nano", "--stages", "2", "--micro-batches", $"{options.MicroBatchCount ?? 8}", "--precision", precision == Precision.Fp32 ? "fp32" : "bf16", .. model];
        List<(double Threads, double Processes)> results = [];
        for (var pair = 0; pair < pairs; pair++)
        {
            // The order changes, so that a machine that slows down favours none.
            var (threads, processes) = pair % 2 == 0
                ? (Seconds(words, steps), Seconds([.. words, .. s_two], steps))
                : Swapped(Seconds([.. words, .. s_two], steps), Seconds(words, steps));
            results.Add((threads, processes));
            Console.WriteLine(Text($"pair {pair + 1}: {threads:F3} s a step on two threads, {processes:F3} s in two processes, E ÷ E {threads / processes:F3}"));
        }

        double[] ratios = [.. results.Select(pair => pair.Threads / pair.Processes)];
        var ratio = Distribution.Median(ratios);
        return new BenchReport(
            "process-efficiency", "Two processes against two threads of one process",
            Text($"The program itself, two stages, {(options.IsQuick ? "a tiny model" : Text($"8 layers × 512 × 8 heads, T = 256, vocabulary {options.Vocabulary ?? 512}, untied, micro-batch 4"))}, m = {options.MicroBatchCount ?? 8}, one thread a stage, no copies. ")
            + Text($"Runs alternate; each has {steps} measured steps after {WarmUp}, timed from outside; a run counts by its median step. E of both is against the same unsplit trainers, so that their quotient is that of their speeds."),
            ["precision", "pairs", "s a step, threads", "s a step, processes", "E ÷ E", "pairs' range", "target", "verdict"],
            [[
                precision == Precision.Fp32 ? "fp32" : "bf16", $"{pairs}", Text($"{Distribution.Median(results.Select(pair => pair.Threads)):F3}"), Text($"{Distribution.Median(results.Select(pair => pair.Processes)):F3}"),
                Text($"{ratio:F3}"), Text($"{ratios.Min():F3} to {ratios.Max():F3}"), Text($"≥ {Target:F2}"), ratio >= Target ? "met" : "missed",
            ]])
        {
            Remarks = [Machine.Bf16Products],
        };
    }

    private static double Seconds(IReadOnlyList<string> words, int steps) => Distribution.Median(TimedTraining.StepSeconds(1 + WarmUp + steps, words).Skip(WarmUp));

    private static (double, double) Swapped(double second, double first) => (first, second);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
