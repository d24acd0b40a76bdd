using System.Globalization;
using Pipeline.Bench.Reports;
using Pipeline.Bench.Workloads;
using Pipeline.Model;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Training;

namespace Pipeline.Bench.Measures;

/// <summary>
/// E of a pipeline of two ranks under several schedules, with the barrier of the global norm and without, against two unsplit trainers at
/// the same time; with what the schedule holds in memory, and with what was redone.
/// </summary>
internal static class ScheduleEfficiency
{
    private const string PlannersChoice = "plan";
    private const int RankCount = 2;
    private const int MicroBatchSize = 4;

    private static readonly (string Schedule, OptimizerBarrier Barrier, bool Clips)[] s_ways =
    [
        ("1f1b", OptimizerBarrier.On, false), ("zb-h1", OptimizerBarrier.On, false), ("zb-h1", OptimizerBarrier.Off, false),
        ("zb-h2", OptimizerBarrier.On, false), ("zb-h2", OptimizerBarrier.Off, false), ("zb-h2", OptimizerBarrier.Off, true),
        ("zb-v", OptimizerBarrier.On, false), ("zb-v", OptimizerBarrier.Off, false),
        (PlannersChoice, OptimizerBarrier.On, false), (PlannersChoice, OptimizerBarrier.Off, false), (PlannersChoice, OptimizerBarrier.Off, true),
    ];

    /// <summary>Measures every way in every size, or what is asked for.</summary>
    public static async Task<BenchReport> MeasureAsync(BenchOptions options)
    {
        List<IReadOnlyList<string>> rows = [];
        foreach (var vocabulary in options.Vocabulary is { } one ? [one] : new[] { 512, 8192 })
        {
            var settings = options.IsQuick ? BenchModels.Tiny(vocabulary) : BenchModels.Gpt(8, 512, 8, 256, vocabulary);
            foreach (var precision in new[] { Precision.Fp32, Precision.Bf16 }.Where(precision => options.Precision is null || options.Precision == precision))
            {
                var profile = await PlannedLayout.ProfileAsync(settings, precision, RankCount, MicroBatchSize).ConfigureAwait(false);
                foreach (var microBatchCount in options.MicroBatchCount is { } count ? [count] : new[] { 4, 8, 16 })
                    rows.AddRange(await RowsAsync(options, settings, profile, precision, microBatchCount).ConfigureAwait(false));
            }
        }

        return new BenchReport(
            "schedule-efficiency",
            "Efficiency of two ranks under several schedules",
            "8 layers × 512 × 8 heads, T = 256, micro-batch 4, untied, one thread a rank, units balanced by estimated cost; plan: the planner's choice with measured costs. E = tokens/s of the pipeline over its steps after the first ÷ "
            + "the sum of tokens/s of two unsplit one-thread trainers at the same time. The ways follow each other within a round, one unsplit pair before and after each; "
            + "medians over the rounds. Held: (stage, micro-batch) pairs that each rank holds at most. Redone: actions thrown away ÷ actions of the steps, and steps that a rank began anew ÷ steps; clipped: steps whose gradient was scaled down ÷ steps.",
            ["vocabulary", "precision", "m", "schedule", "barrier", "rounds", "pipeline tok/s", "unsplit tok/s", "E", "idle share", "held", "redone actions", "redone steps", "clipped", "target", "verdict"],
            rows)
        {
            Remarks = [Machine.Bf16Products, "Without a barrier and with clipping, every step is clipped: the worst case, which the setting auto avoids."],
        };
    }

    private static async Task<IEnumerable<IReadOnlyList<string>>> RowsAsync(BenchOptions options, ModelSettings settings, ModelProfile profile, Precision precision, int microBatchCount)
    {
        var ways = s_ways.Where(way => (way.Schedule == PlannersChoice || ScheduleCatalog.Find(way.Schedule) is not null) && (options.Schedule is null || way.Schedule == options.Schedule)).ToArray();
        var results = ways.Select(_ => new List<Result>()).ToArray();
        var layouts = ways.Select(way => Layout(profile, way.Schedule, microBatchCount, way.Barrier)).ToArray();
        var batches = new RandomTokens(settings, microBatchCount, MicroBatchSize);
        for (var round = 0; round < (options.PairCount ?? 2); round++)
        {
            var before = await UnsplitAsync(settings, batches, precision).ConfigureAwait(false);
            for (var way = 0; way < ways.Length; way++)
            {
                var plan = Plan(settings, layouts[way], batches, precision, ways[way], options.StepCount ?? 3);
                var log = new StepLog();
                StepLog.ThrowUnlessCompleted(await PipelineRun.TrainAsync(plan, log).ConfigureAwait(false));
                var after = await UnsplitAsync(settings, batches, precision).ConfigureAwait(false);
                results[way].Add(Result.Of(log, plan, (before + after) / 2));
                before = after;
            }
        }

        return ways.Select((way, index) => Row(settings, layouts[index], precision, microBatchCount, way, results[index]));
    }

    private static TrainingPlan Plan(
        ModelSettings settings, ChosenLayout layout, RandomTokens batches, Precision precision, (string Schedule, OptimizerBarrier Barrier, bool Clips) way, int measuredSteps)
    {
        return new TrainingPlan
        {
            Units = DecoderTransformer.Units(settings),
            Batches = batches,
            Optimizer = BenchModels.Optimizer with { Clip = way.Clips ? 1e-6 : 0 },
            Steps = 1 + measuredSteps,
            StageCount = RankCount,
            ScheduleText = ScheduleText.Format(layout.Schedule),
            UnitCounts = layout.UnitCounts,
            Precision = precision,
            Barrier = way.Barrier,
            StepsAhead = 1 + measuredSteps,
        };
    }

    private static ChosenLayout Layout(ModelProfile profile, string schedule, int microBatchCount, OptimizerBarrier barrier)
    {
        if (schedule != PlannersChoice)
            return new(ScheduleCatalog.Generate(schedule, new ScheduleShape(RankCount, microBatchCount, schedule == "zb-v" ? 2 : 1)), null, schedule);
        var choice = PlannedLayout.Choose(profile, RankCount, microBatchCount, MicroBatchSize, barrier == OptimizerBarrier.On);
        return new(choice.Schedule!, [.. choice.Partition.Select(range => range.Count)], $"{PlannersChoice}: {choice.Kind}, {choice.VirtualStages} a rank{(choice.MemoryCredit is { } credit ? $", {credit} held" : "")}");
    }

    private static Task<double> UnsplitAsync(ModelSettings settings, RandomTokens batches, Precision precision) =>
        UnsplitPair.TokensPerSecondAsync(DecoderTransformer.Units(settings), batches, BenchModels.Optimizer, precision, batches.TokensPerStep, 1);

    private static string[] Row(
        ModelSettings settings, ChosenLayout layout, Precision precision, int microBatchCount, (string Schedule, OptimizerBarrier Barrier, bool Clips) way, List<Result> results)
    {
        var efficiency = Distribution.Median(results.Select(result => result.Rate / result.Unsplit));
        var target = Target(settings.Vocabulary, microBatchCount, way);
        var held = ScheduleValidator.PeakInFlight(layout.Schedule);
        var barrier = way.Barrier == OptimizerBarrier.On ? "on" : way.Clips ? "off, clipped" : "off";
        Console.WriteLine(FormattableString.Invariant($"vocabulary {settings.Vocabulary}, {precision}, m = {microBatchCount}, {layout.Name}, barrier {barrier}: E = {efficiency:F3}"));
        return
        [
            $"{settings.Vocabulary}", precision == Precision.Fp32 ? "fp32" : "bf16", $"{microBatchCount}", layout.Name, barrier, $"{results.Count}",
            $"{Distribution.Median(results.Select(result => result.Rate)):F1}", $"{Distribution.Median(results.Select(result => result.Unsplit)):F1}", $"{efficiency:F3}",
            $"{Distribution.Median(results.Select(result => result.Idle)):P1}", string.Join('+', held), $"{Distribution.Median(results.Select(result => result.RedoneActions)):P1}",
            $"{Distribution.Median(results.Select(result => result.RedoneSteps)):P0}", $"{Distribution.Median(results.Select(result => result.Clipped)):P0}",
            target is { } goal ? $"≥ {goal.ToString("F2", CultureInfo.InvariantCulture)}" : "", target is { } wanted ? efficiency >= wanted ? "met" : "missed" : "",
        ];
    }

    // What is asked of the planner's choice; 1F1B cannot reach it.
    private static double? Target(int vocabulary, int microBatchCount, (string Schedule, OptimizerBarrier Barrier, bool Clips) way)
    {
        if (way.Schedule == "1f1b" || way.Clips) return null;
        double[] goals = (vocabulary > 512, way.Barrier) switch
        {
            (false, OptimizerBarrier.On) => [0.90, 0.93, 0.95],
            (false, _) => [0.94, 0.96, 0.97],
            (true, OptimizerBarrier.On) => [0.88, 0.92, 0.94],
            (true, _) => [0.91, 0.94, 0.95],
        };
        return microBatchCount switch { 4 => goals[0], 8 => goals[1], 16 => goals[2], _ => null };
    }

    private sealed record ChosenLayout(Schedule Schedule, IReadOnlyList<int>? UnitCounts, string Name);

    private sealed record Result(double Rate, double Unsplit, double Idle, double RedoneActions, double RedoneSteps, double Clipped)
    {
        public static Result Of(StepLog log, TrainingPlan plan, double unsplit)
        {
            var steps = log.Steps.Skip(1).ToArray();
            var actions = RunLayout.For(plan).Schedule.Actions.Sum(row => row.Length) * steps.Length;
            return new Result(
                steps.Sum(step => step.TokenCount) / steps.Sum(step => step.Seconds),
                unsplit,
                steps.Average(step => step.Bubble),
                (double)steps.Sum(step => step.Ranks.Sum(rank => rank.Timing.DiscardedActions)) / actions,
                (double)steps.Count(step => step.IsRedone) / steps.Length,
                (double)steps.Count(step => step.IsClipped) / steps.Length);
        }
    }
}
