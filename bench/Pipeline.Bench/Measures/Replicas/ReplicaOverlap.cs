using Pipeline.Bench.Reports;
using Pipeline.Model;
using Pipeline.Model.Units;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>
/// How much of the communication of two replicas stays exposed where the window in which gradients become final, the last micro-batch's backward, lasts at least twice as long as the
/// communication: on a link that is slowed until it does, and no further.
/// </summary>
internal static class ReplicaOverlap
{
    private const double Allowed = 0.2;
    private const double WantedWindow = 2;

    /// <summary>The window aimed at: a link that is corrected once lies on one side of what is wanted.</summary>
    private const double AimedWindow = 2.2;

    private const int AttemptCount = 4;

    /// <summary>Samples of a micro-batch: more make the window longer and the communication not.</summary>
    private const int SampleCount = 16;

    /// <summary>Layers of a second model: the last bucket, which nothing can hide, is half as large a part of it.</summary>
    private const int DeepLayerCount = 12;

    private const int WarmUps = 3;
    private const double BytesPerMebibyte = 1 << 20;

    /// <summary>Measures with one micro-batch and with four, and two depths of the model.</summary>
    /// <param name="options">Steps, turns.</param>
    /// <param name="keep">Is given what there is after each of them.</param>
    public static BenchReport Measure(BenchOptions options, Action<BenchReport> keep)
    {
        var stepCount = options.StepCount ?? (options.IsQuick ? 3 : 7);
        var turnCount = options.PairCount ?? 1;
        List<Found> found = [];
        foreach (var layerCount in new[] { ReplicaSpec.DefaultLayerCount, DeepLayerCount })
        {
            ReplicaResult? free = null;
            foreach (var microBatchCount in options.MicroBatchCount is { } only ? [only] : new[] { 1, 4 })
            {
                var spec = new ReplicaSpec(
                    Trains: true, CompressionKind.None, Overlaps: false, microBatchCount, stepCount, 0, IsTcp: false, options.IsQuick, LayerCount: layerCount,
                    SampleCount: options.IsQuick ? ReplicaSpec.DefaultSampleCount : SampleCount, WarmUps: WarmUps, Meets: true);
                // The last micro-batch's backward is the same, however many come before it.
                free ??= ReplicaPair.Run(spec);
                found.Add(Compare(spec, free, turnCount));
                keep(Report(found, stepCount, turnCount));
            }
        }

        return Report(found, stepCount, turnCount);
    }

    private static BenchReport Report(List<Found> found, int stepCount, int turnCount) =>
        new(
            "replica-overlap",
            "What overlap leaves exposed of the communication of two replicas",
            $"6 or {DeepLayerCount} layers × 256, context 128, vocabulary 2,048, fp32, micro-batches of {SampleCount} samples, one thread a process; two processes, each with the whole model and half of the micro-batches. The sending end of the link is "
            + $"throttled until the last micro-batch's backward, in which gradients become final, lasts at least {WantedWindow:F0} times the communication that nothing hides: both processes end backward, then all is sent and added up. "
            + "Communication and what is exposed of it count from the moment at which both processes have done with backward to the end of the reduction; waiting for the other process's backward is none. The window is that of steps without overlap. "
            + $"The last bucket is what becomes final with the end of backward: no order of sending hides it. Medians of {stepCount} steps after {WarmUps}{(turnCount > 1 ? $", {turnCount} times in turns" : "")}.",
            ["m", "layers", "link MiB/s", "MiB a step", "bytes ÷ speed ms", "communication ms", "window ms", "window ÷ communication", "exposed ms", "exposed ÷ communication", "last bucket", "window beside it ms", "step ms, not overlapped", "overlapped", "for the other ms"],
            [.. found.Select(Row)])
        {
            Remarks = [.. found.Select(Verdict), .. found.Where(entry => entry.Turns.Count > 1).Select(entry => $"By turn, m = {entry.Spec.MicroBatchCount}, {entry.Spec.LayerCount} layers: {string.Join(", ", entry.Turns.Select(turn => $"{turn.Share:P0}"))}.")],
        };

    private static Found Compare(ReplicaSpec spec, ReplicaResult free, int turnCount)
    {
        var rate = free.SentBytes / (free.Window / AimedWindow);
        for (var attempt = 1; ; attempt++)
        {
            spec = spec with { BytesPerSecond = rate };
            var open = ReplicaPair.Run(spec);
            if (attempt < AttemptCount && open.Window < WantedWindow * open.Exposed)
            {
                rate *= AimedWindow * open.Exposed / open.Window;
                continue;
            }

            List<Turn> turns = [new(open, Hidden(spec))];
            while (turns.Count < turnCount) turns.Add(new Turn(ReplicaPair.Run(spec), Hidden(spec)));
            return new Found(spec, turns);
        }
    }

    private static ReplicaResult Hidden(ReplicaSpec spec) => ReplicaPair.Run(spec with { Overlaps = true, Meets = false });

    private static IReadOnlyList<string> Row(Found found) =>
    [
        $"{found.Spec.MicroBatchCount}", $"{found.Spec.LayerCount}", $"{found.Spec.BytesPerSecond / BytesPerMebibyte:F1}", $"{found.SentBytes / BytesPerMebibyte:F2}", $"{found.SentBytes / found.Spec.BytesPerSecond * 1e3:F0}",
        Milliseconds(found.Communication), Milliseconds(found.Window), $"{found.Window / found.Communication:F2}", Milliseconds(found.Exposed), $"{found.Share:P0}", $"{found.LastBucket:P0}",
        Milliseconds(found.Median(turn => turn.Hidden.Window)), Milliseconds(found.Median(turn => turn.Open.Seconds)), Milliseconds(found.Median(turn => turn.Hidden.Seconds)), Milliseconds(found.Median(turn => turn.Hidden.Waited)),
    ];

    private static string Verdict(Found found) =>
        $"m = {found.Spec.MicroBatchCount}, {found.Spec.LayerCount} layers: {found.Share:P0} of the communication is exposed, {Allowed:P0} at most wanted: {(found.Share <= Allowed ? "met" : "missed")}. The window lasts {found.Window / found.Communication:F2} times the "
        + $"communication, {WantedWindow:F0} at least wanted for the comparison{(found.Window >= WantedWindow * found.Communication ? "" : ": it does not count")}.";

    private static string Milliseconds(double seconds) => $"{seconds * 1e3:F0}";

    /// <summary>Steps without overlap and with it, one after the other.</summary>
    private sealed record Turn(ReplicaResult Open, ReplicaResult Hidden)
    {
        internal double Share => Hidden.Exposed / Open.Exposed;
    }

    /// <summary>What was found on a link: medians of its turns.</summary>
    private sealed record Found(ReplicaSpec Spec, IReadOnlyList<Turn> Turns)
    {
        internal long SentBytes => Turns[0].Open.SentBytes;

        internal double Communication => Median(turn => turn.Open.Exposed);

        internal double Window => Median(turn => turn.Open.Window);

        internal double Exposed => Median(turn => turn.Hidden.Exposed);

        internal double Share => Median(turn => turn.Share);

        /// <summary>Share of the gradient that the last bucket is.</summary>
        internal double LastBucket
        {
            get
            {
                var buckets = BucketList.Of([.. DecoderTransformer.Units(Spec.Model).Select(GradientPlaces.LengthOf)], Spec.Reduction.BucketLength);
                return (double)buckets[^1].Length / buckets.Sum(bucket => bucket.Length);
            }
        }

        internal double Median(Func<Turn, double> of) => Distribution.Median(Turns.Select(of));
    }
}
