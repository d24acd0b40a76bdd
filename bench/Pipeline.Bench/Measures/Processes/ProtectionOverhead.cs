using System.Globalization;
using Pipeline.Bench.Reports;
using Pipeline.Model;

namespace Pipeline.Bench.Measures.Processes;

/// <summary>
/// What <c>protection.kind = memory</c> costs: within a run, the steps that carry a copy against those beside them that carry none, which a drifting machine treats
/// alike; and whole runs with a copy after every step against runs without any, in turn.
/// </summary>
internal static class ProtectionOverhead
{
    /// <summary>Steps between the copies of the first way: two that carry one, two that carry none.</summary>
    private const int Every = 4;
    private const int WarmUp = 4;

    /// <summary>Copies that need memory which the process never had before: a holder keeps two while it receives the next. From then on memory is used again.</summary>
    private const int FirstCopies = 3;
    private const double AllowedEach = 0.03;
    private const double AllowedTenth = 0.005;

    private static readonly Case[] s_cases = [new("gpt-small", "4", 6, 2, 5), new("gpt-nano", "8", 20, 3, 60)];

    /// <summary>Measures the cases, or the one that is asked for, in the arithmetic that is asked for, or in fp32.</summary>
    public static BenchReport Measure(BenchOptions options)
    {
        var cases = s_cases.Where(one => options.WireKind is null || one.Preset == options.WireKind).ToArray();
        if (cases.Length == 0) throw new InvalidOperationException($"--kind is {string.Join(" or ", s_cases.Select(one => one.Preset))} here, found '{options.WireKind}'.");
        var precision = options.Precision ?? Precision.Fp32;
        return new BenchReport(
            "protection", "What copies of the state in other processes' memory cost",
            "The program itself, two stages over three processes, the third of which leads, 8 micro-batches, 8,192 tokens a step, one thread a stage; each stage's copies lie with the other. Steps are timed from outside. "
            + "Within a run: a copy after every fourth step; extra = the two steps that follow it − the next two, which carry none, median over the copies from the fourth on; k = 1 is that against a step without, k = 10 a tenth of it. "
            + "In pairs: runs with k = 1 and without protection in turn, quotient of their median steps.",
            ["model", "precision", "s a step without", "copies", "extra ms a copy", "quartiles", "k = 1", "k = 10", "k = 1 in pairs of runs", "allowed", "verdict"],
            [.. cases.Select(one => Row(options.IsQuick ? one.Shortened : one, precision, options))])
        {
            Remarks = ["The verdict goes by the first way. bf16 and gpt-nano are reported without a goal.", Machine.Bf16Products],
        };
    }

    private static string[] Row(Case one, Precision precision, BenchOptions options)
    {
        string[] words =
        [
            "--preset", one.Preset, "--stages", "2", "--processes", "3", "--micro-batches", "8", "--precision", precision == Precision.Fp32 ? "fp32" : "bf16",
            .. options.IsQuick ? TimedTraining.Tiny : TimedTraining.Settings($"schedule.micro-batch-size={one.MicroBatchSize}"),
        ];
        var (without, extra) = Within(one, words);
        Console.WriteLine(Text($"{one.Preset}: {without:F3} s a step, {1e3 * Distribution.Median(extra):F1} ms a copy"));
        var pairs = Pairs(one with { PairCount = options.PairCount ?? one.PairCount }, words);
        var each = Distribution.Median(extra) / without;
        var hasGoal = one.Preset == "gpt-small" && precision == Precision.Fp32;
        return
        [
            one.Preset, precision == Precision.Fp32 ? "fp32" : "bf16", Text($"{without:F3}"), $"{extra.Length}", Text($"{1e3 * Distribution.Median(extra):F1}"),
            Text($"{1e3 * Distribution.Quantile(extra, 0.25):F1} to {1e3 * Distribution.Quantile(extra, 0.75):F1}"), Text($"{each:P2}"), Text($"{each / 10:P3}"),
            Text($"{Distribution.Median(pairs):P2} ({pairs.Min():P2} to {pairs.Max():P2})"), hasGoal ? Text($"{AllowedEach:P0}, {AllowedTenth:P1}") : "",
            !hasGoal ? "" : each <= AllowedEach && each / 10 <= AllowedTenth ? "met" : "missed",
        ];
    }

    /// <summary>Step 4c + 1 is the first that can carry the copy after step 4c.</summary>
    private static (double Without, double[] Extra) Within(Case one, string[] words)
    {
        var seconds = TimedTraining.StepSeconds((one.CopyCount + FirstCopies + 1) * Every, [.. words, .. TimedTraining.Settings("protection.kind=memory", $"protection.every={Every}")]);
        // The first of these is that of step 2.
        var blocks = seconds.Skip((FirstCopies + 1) * Every - 1).Chunk(Every).Where(block => block.Length == Every).ToArray();
        return (Distribution.Median(blocks.SelectMany(block => block.Skip(Every / 2))), [.. blocks.Select(block => block[0] + block[1] - block[2] - block[3])]);
    }

    private static double[] Pairs(Case one, string[] words)
    {
        List<double> overheads = [];
        for (var pair = 0; pair < one.PairCount; pair++)
        {
            var isFirst = pair % 2 == 0;
            var first = Seconds(one, words, isProtected: !isFirst);
            var second = Seconds(one, words, isProtected: isFirst);
            overheads.Add(isFirst ? second / first - 1 : first / second - 1);
            Console.WriteLine(Text($"{one.Preset}, pair {pair + 1}: {overheads[^1]:P2}"));
        }

        return [.. overheads];
    }

    private static double Seconds(Case one, string[] words, bool isProtected)
    {
        string[] protection = isProtected ? ["protection.kind=memory", "protection.every=1"] : ["protection.kind=none"];
        return Distribution.Median(TimedTraining.StepSeconds(1 + WarmUp + one.StepCount, [.. words, .. TimedTraining.Settings(protection)]).Skip(WarmUp));
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>A model to measure.</summary>
    /// <param name="Preset">Its preset.</param>
    /// <param name="MicroBatchSize">Samples of a micro-batch, of eight.</param>
    /// <param name="CopyCount">Copies within a run that count.</param>
    /// <param name="PairCount">Pairs of runs.</param>
    /// <param name="StepCount">Measured steps of each of these.</param>
    private sealed record Case(string Preset, string MicroBatchSize, int CopyCount, int PairCount, int StepCount)
    {
        /// <summary>To try the benchmark itself.</summary>
        internal Case Shortened => this with { CopyCount = 2, PairCount = 1, StepCount = 2 };
    }
}
