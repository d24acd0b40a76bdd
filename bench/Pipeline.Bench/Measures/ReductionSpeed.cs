using System.Diagnostics;
using System.Globalization;
using Pipeline.Bench.Reports;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Summation;

namespace Pipeline.Bench.Measures;

/// <summary>
/// How many bytes of fp32 one core compresses, restores and adds a second. The span is larger than the caches, so memory is part of what
/// is measured; the kinds take turns, so that other work on the machine disturbs them alike.
/// </summary>
internal static class ReductionSpeed
{
    private const int Length = 16 << 20;
    private const double BytesPerGigabyte = 1e9;

    /// <summary>GB of fp32 a second and core: quantising, and undoing it.</summary>
    private const double QuantisedGoal = 2;

    /// <summary>Finding the largest elements.</summary>
    private const double SelectedGoal = 0.5;

    private const double NoGoal = 0;

    /// <summary>Measures all kinds.</summary>
    /// <param name="roundCount">Rounds; each kind is timed once in each.</param>
    /// <param name="isQuick">A small span: tries the benchmark itself.</param>
    public static BenchReport Measure(int roundCount, bool isQuick)
    {
        var input = Gradient(isQuick ? 1 << 16 : Length);
        Measured[] kinds = [.. Kinds().Select(kind => new Measured(kind.Name, kind.Goal, kind.Make(input.Length), input))];
        using var sums = new SumMeasured(input);
        for (var round = 0; round < roundCount; round++)
        {
            foreach (var kind in kinds) kind.Run(round);
            sums.Run();
        }

        return new BenchReport("reduction", "Compression and sums: GB/s of fp32 on one core", Method(input.Length, roundCount),
            ["what", "compress, GB/s", "with error feedback, GB/s", "goal", "restore, GB/s", "goal", "verdict", "fp32 bytes ÷ bytes"], [.. kinds.Select(kind => kind.Row()), sums.Row()])
        {
            Remarks = [$"All that has a goal meets it: {(kinds.All(kind => kind.IsMet) ? "yes" : $"no, not {string.Join(", ", kinds.Where(kind => !kind.IsMet).Select(kind => kind.Name))}")}. Where other work shares the core they are lower."],
        };
    }

    private static IEnumerable<(string Name, (double Compress, double Restore) Goal, Func<int, ICompressor> Make)> Kinds()
    {
        foreach (var rounding in Enum.GetValues<Rounding>())
        {
            var word = rounding.ToString().ToLowerInvariant();
            yield return ($"bf16, {word}", (QuantisedGoal, QuantisedGoal), _ => new BFloat16Compressor(rounding));
            yield return ($"int8, {word}", (QuantisedGoal, QuantisedGoal), _ => new BlockCompressor(CompressionKind.Int8, rounding));
            yield return ($"int4, {word}", (QuantisedGoal, QuantisedGoal), _ => new BlockCompressor(CompressionKind.Int4, rounding));
        }

        yield return ("one-bit", (QuantisedGoal, QuantisedGoal), _ => new OneBitCompressor());
        yield return ("top-k 1 %", (SelectedGoal, NoGoal), _ => new TopKCompressor(0.01));
        yield return ("power-sgd, rank 2, 1024 columns", (NoGoal, NoGoal), length => new PowerSgdCompressor(length, [new MatrixRange(0, length / 1024, 1024)], 2, 1));
    }

    private static string Method(int length, int roundCount) => string.Create(CultureInfo.InvariantCulture,
        $"A span of {length * 4 / (1 << 20)} MiB of normal random numbers whose scale changes every 1,000 elements. Compressing includes the residual; with error feedback also to add what was lost before, as runs do; both are held to the goal. Medians of {roundCount} rounds in one thread.");

    /// <summary>Normal numbers of changing scale, by the sum of four uniform ones.</summary>
    private static float[] Gradient(int length)
    {
        var random = new Random(1);
        var values = new float[length];
        for (var index = 0; index < length; index++)
        {
            var normal = random.NextSingle() + random.NextSingle() + random.NextSingle() + random.NextSingle() - 2;
            values[index] = MathF.ScaleB(normal, -(index / 1000 % 12));
        }

        return values;
    }

    private static double Rate(int length, IEnumerable<double> seconds) => length * sizeof(float) / BytesPerGigabyte / Distribution.Median(seconds);

    private static string Text(double rate) => rate.ToString("0.00", CultureInfo.InvariantCulture);

    private static string Goal(double goal) => goal == NoGoal ? "–" : goal.ToString(CultureInfo.InvariantCulture);

    /// <summary>One kind with its buffers.</summary>
    private sealed class Measured(string name, (double Compress, double Restore) goal, ICompressor compressor, float[] input)
    {
        private readonly byte[] _payload = new byte[compressor.MaxByteCount(input.Length)];
        private readonly float[] _residual = new float[input.Length];
        private readonly float[] _output = new float[input.Length];
        private readonly List<double> _compress = [];
        private readonly List<double> _feedback = [];
        private readonly List<double> _restore = [];
        private int _byteCount;

        internal string Name => name;

        internal bool IsMet =>
            Rate(input.Length, _compress) >= goal.Compress && Rate(input.Length, _feedback) >= goal.Compress && Rate(input.Length, _restore) >= goal.Restore;

        internal void Run(int round)
        {
            var start = Stopwatch.GetTimestamp();
            _byteCount = compressor.Compress(input, _residual, _payload, new RoundingKey(1, round));
            var middle = Stopwatch.GetTimestamp();
            compressor.Decompress(_payload.AsSpan(0, _byteCount), _output);
            _restore.Add(Stopwatch.GetElapsedTime(middle).TotalSeconds);
            _compress.Add(Stopwatch.GetElapsedTime(start, middle).TotalSeconds);
            start = Stopwatch.GetTimestamp();
            compressor.CompressWithFeedback(input, _residual, _payload, new RoundingKey(2, round));
            _feedback.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        internal IReadOnlyList<string> Row() =>
        [
            name, Text(Rate(input.Length, _compress)), Text(Rate(input.Length, _feedback)), Goal(goal.Compress), Text(Rate(input.Length, _restore)), Goal(goal.Restore), goal == (NoGoal, NoGoal) ? "–" : IsMet ? "met" : "missed",
            (input.Length * 4.0 / _byteCount).ToString("0.00", CultureInfo.InvariantCulture),
        ];
    }

    /// <summary>Eight leaves added in the tree.</summary>
    private sealed class SumMeasured(float[] input) : IDisposable
    {
        private const int LeafCount = 8;
        private readonly TreeAccumulator _sums = new(new SummationTree(LeafCount), input.Length);
        private readonly float[] _sum = new float[input.Length];
        private readonly List<double> _seconds = [];

        internal void Run()
        {
            var start = Stopwatch.GetTimestamp();
            for (var leaf = 0; leaf < LeafCount; leaf++) _sums.Add(leaf, input);
            _sums.TakeRoot(_sum);
            _seconds.Add(Stopwatch.GetElapsedTime(start).TotalSeconds / LeafCount);
        }

        public void Dispose() => _sums.Dispose();

        internal IReadOnlyList<string> Row() => ["tree of 8 leaves, a leaf", Text(Rate(input.Length, _seconds)), "–", "–", "–", "–", "–", "1.00"];
    }
}
