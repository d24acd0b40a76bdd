using System.Globalization;
using Pipeline.Model;

namespace Pipeline.Bench;

/// <summary>Which benchmarks are to run and how; null means what the benchmark itself thinks right.</summary>
internal sealed record BenchOptions
{
    /// <summary>What can be asked for.</summary>
    public const string Usage = """
        ./pipeline.sh bench [gemm|efficiency|split|schedules|latency|reduction|replica-link|replica-bytes|replica-steps|replica-memory|replica-scale|summation|curves|
                             soak|simulator|prediction|wire|wire-control|telemetry|protection|processes|all] [options]
        'all', the default, leaves out schedules, prediction, those of replicas, summation, curves, wire, wire-control, telemetry, protection and processes, which take long.
          --report FOLDER      where the reports go (default artifacts/bench)
          --precision NAME     fp32 or bf16 alone (gemm, efficiency, split, schedules, protection, processes)
          --vocabulary N       one vocabulary alone (efficiency, split, schedules, processes)
          --micro-batches M    one number of micro-batches alone (efficiency, replica-steps, schedules, summation, processes)
          --schedule NAME      one schedule alone, or plan for what the planner chooses (schedules)
          --pairs N            pairs of pipeline and unsplit trainers (efficiency), of link and bare socket (wire), turns (replica-link, replica-steps: overlap), of telemetry off and on (telemetry), of runs (protection, processes), rounds (schedules), seeds (curves)
          --kind NAME          one kind of link alone: unix, tcp, tls, akka (wire), tcp, or none for the uncompressed alone (replica-link), overlap or throughput alone (replica-steps), of compression, or some with commas (curves); replicas (prediction); gpt-small or gpt-nano (protection)
          --steps N            measured steps (gemm, split, schedules, latency, replica-steps, summation, curves, soak, processes), rounds (reduction, replica-link, replica-bytes)
          --quick              tiny models: tries the benchmark itself, measures nothing
        """;

    private static readonly string[] Names =
        ["all", "gemm", "efficiency", "split", "schedules", "latency", "reduction", "replica-link", "replica-bytes", "replica-steps", "replica-memory", "replica-scale", "summation", "curves", "soak", "simulator", "prediction", "wire", "wire-control", "telemetry", "protection", "processes"];

    private static readonly string[] Long = ["schedules", "prediction", "replica-link", "replica-bytes", "replica-steps", "replica-memory", "replica-scale", "summation", "curves", "wire", "wire-control", "telemetry", "protection", "processes"];

    /// <summary>A benchmark's name, or <c>all</c>.</summary>
    public string Benchmark { get; private init; } = "all";

    /// <summary>Folder of the reports.</summary>
    public string ReportFolder { get; private init; } = Path.Combine("artifacts", "bench");

    /// <summary>The only arithmetic to measure.</summary>
    public Precision? Precision { get; private init; }

    /// <summary>The only vocabulary to measure.</summary>
    public int? Vocabulary { get; private init; }

    /// <summary>The only number of micro-batches to measure.</summary>
    public int? MicroBatchCount { get; private init; }

    /// <summary>The only schedule to measure.</summary>
    public string? Schedule { get; private init; }

    /// <summary>Pairs of measurements.</summary>
    public int? PairCount { get; private init; }

    /// <summary>The only kind to measure: of link, of compression, or of question.</summary>
    public string? WireKind { get; private init; }

    /// <summary>Measured steps.</summary>
    public int? StepCount { get; private init; }

    /// <summary>Whether tiny models stand in for the real ones.</summary>
    public bool IsQuick { get; private init; }

    /// <summary>The command as typed, for the report.</summary>
    public string Command { get; private init; } = "";

    /// <summary>Whether a benchmark is to run.</summary>
    public bool Wants(string name) => Benchmark == name || (Benchmark == "all" && !Long.Contains(name, StringComparer.Ordinal));

    /// <summary>Reads the command line.</summary>
    /// <exception cref="ArgumentException">It cannot be read; the message says why and shows the usage.</exception>
    public static BenchOptions Parse(IReadOnlyList<string> arguments)
    {
        var options = new BenchOptions { Command = string.Join(' ', ["./pipeline.sh bench", .. arguments]) };
        for (var index = 0; index < arguments.Count; index++)
        {
            var word = arguments[index];
            if (word == "--quick") options = options with { IsQuick = true };
            else if (word.StartsWith("--", StringComparison.Ordinal)) options = With(options, word, ++index < arguments.Count ? arguments[index] : null);
            else if (Names.Contains(word, StringComparer.Ordinal)) options = options with { Benchmark = word };
            else throw Unreadable($"There is no benchmark '{word}'.");
        }

        if (options is { Benchmark: "replica-steps", WireKind: not (null or "overlap" or "throughput") }) throw Unreadable($"--kind of replica-steps is overlap or throughput, found '{options.WireKind}'.");
        return options;
    }

    private static BenchOptions With(BenchOptions options, string name, string? value)
    {
        if (value is null) throw Unreadable($"{name} needs a value.");
        return name switch
        {
            "--report" => options with { ReportFolder = value },
            "--precision" => options with { Precision = value switch { "fp32" => Model.Precision.Fp32, "bf16" => Model.Precision.Bf16, _ => throw Unreadable($"--precision is fp32 or bf16, found '{value}'.") } },
            "--vocabulary" => options with { Vocabulary = Count(name, value) },
            "--micro-batches" => options with { MicroBatchCount = Count(name, value) },
            "--schedule" => options with { Schedule = value },
            "--pairs" => options with { PairCount = Count(name, value) },
            "--kind" => options with { WireKind = value },
            "--steps" => options with { StepCount = Count(name, value) },
            _ => throw Unreadable($"There is no option {name}."),
        };
    }

    private static int Count(string name, string value) =>
        int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var count) && count > 0
            ? count
            : throw Unreadable($"{name} is a whole number from 1, found '{value}'.");

    private static ArgumentException Unreadable(string message) => new(message + Environment.NewLine + Usage);
}
