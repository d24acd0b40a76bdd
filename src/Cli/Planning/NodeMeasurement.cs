using System.Globalization;
using Pipeline.Cli.Configuration;
using Pipeline.Model;
using Pipeline.Model.Numerics;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Schedules;
using static Pipeline.Protocol.ProfileProtocol;

namespace Pipeline.Cli.Planning;

/// <summary>A measurement as a node carries it out for others: what is asked comes over the wire, and is judged before anything is made of it.</summary>
internal static class NodeMeasurement
{
    private const int MostSize = 32_768;
    private const int LongestConfiguration = 100_000;

    /// <summary>Measures, on threads that belong to nobody else.</summary>
    /// <param name="ask">What is asked.</param>
    /// <param name="cancellation">Ends it between two rounds.</param>
    /// <exception cref="ArgumentException">It cannot be measured; the message is for people.</exception>
    public static Task<MeasuredUnits> RunAsync(MeasureUnits ask, CancellationToken cancellation) => Task.Factory.StartNew(
        () => MeasureAsync(ask, cancellation), cancellation, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap();

    /// <summary>As the wire has it.</summary>
    public static MeasuredUnits ToWire(ProfileFile file) => new(file.Precision, file.ActionOverhead, file.HopLatency, [.. file.Sizes.Select(size => new MeasuredSize(size.Key, [.. size.Value.Select(ToWire)]))]);

    /// <summary>As a file has it, of a node.</summary>
    /// <param name="costs">What a node says.</param>
    /// <param name="machine">Its machine.</param>
    /// <param name="node">Its name.</param>
    /// <param name="gigaFlops">Of a matrix product there.</param>
    /// <param name="now">When it was measured.</param>
    public static ProfileFile ToFile(MeasuredUnits costs, string machine, string node, double gigaFlops, DateTimeOffset now)
    {
        SortedDictionary<int, List<UnitProfile>> sizes = [];
        foreach (var size in costs.Sizes) sizes[size.MicroBatchSize] = [.. size.Units.Select(FromWire)];
        return new ProfileFile(machine, now, costs.Precision, costs.ActionOverhead, costs.HopLatency, sizes, gigaFlops, node);
    }

    private static async Task<MeasuredUnits> MeasureAsync(MeasureUnits ask, CancellationToken cancellation)
    {
        TorchRuntime.Initialize();
        var settings = Settings(ask);
        var file = await new UnitMeasurement(settings, ask.Sizes, TimeSpan.FromSeconds(ask.Seconds), new Unsaid()).RunAsync(cancellation).ConfigureAwait(false);
        return ToWire(file);
    }

    /// <summary>The settings, as one replica of as many ranks as will compute here.</summary>
    private static RunSettings Settings(MeasureUnits ask)
    {
        if (ask.Configuration.Length > LongestConfiguration || ask.Seconds is not (>= 0 and <= MostSeconds) || ask.RankCount is < 1 or > 1024)
            throw new ArgumentException(string.Create(CultureInfo.InvariantCulture, $"Expected settings of at most {LongestConfiguration} characters, 0 to {MostSeconds:0} seconds and 1 to 1024 ranks; found {ask.Configuration.Length}, {ask.Seconds} and {ask.RankCount}."));
        if (ask.Sizes.Count == 0 || ask.Sizes.Distinct().Count() != ask.Sizes.Count || ask.Sizes.Any(size => size is < 1 or > MostSize))
            throw new ArgumentException($"Expected sizes of micro-batch from 1 to {MostSize}, each once; found [{string.Join(", ", ask.Sizes)}].");
        var settings = RunSettingsBinder.Resume(ConfigurationLayer.FromHocon("the measurement", ask.Configuration), ConfigurationSources.None).Settings;
        var units = DecoderTransformer.Units(settings.Model);
        if (units.Count * ask.Sizes.Count > MostCosts)
            throw new ArgumentException($"Expected at most {MostCosts} costs in one measurement; {units.Count} units in {ask.Sizes.Count} sizes are {units.Count * ask.Sizes.Count}. Measure fewer sizes at a time.");
        // More than there are processors for would only measure how they take turns, which a plan reckons by itself.
        var rankCount = Math.Clamp(ask.RankCount, 1, Math.Max(1, Environment.ProcessorCount / settings.ThreadsPerStage));
        settings = settings with { Step = settings.Step with { StageCount = rankCount, ReplicaCount = 1, StagesPerReplica = null } };
        RequireMemory(settings, ask.Sizes.Max(), units);
        return settings;
    }

    /// <summary>Each thread holds the whole model; what it does not fit must not take the node down.</summary>
    private static void RequireMemory(RunSettings settings, int microBatchSize, IReadOnlyList<Unit> units)
    {
        var needed = settings.Step.StageCount * units.Select(unit => UnitSizes.Of(unit, settings, microBatchSize)).Sum(sizes => (double)sizes.StateBytes + sizes.KeptBytes);
        var there = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (needed > there)
            throw new ArgumentException(string.Create(CultureInfo.InvariantCulture, $"{settings.Step.StageCount} threads that hold the whole model each need some {needed / 1e9:0.#} GB, and this machine has {there / 1e9:0.#}. Ask for fewer stages, or smaller micro-batches."));
    }

    private static MeasuredUnit ToWire(UnitProfile unit) => new(
        unit.Name, unit.Forward, unit.Backward, unit.InputGradient, unit.WeightGradient, unit.Optimizer, unit.SelectiveRecompute,
        unit.KeptBytes, unit.SelectiveKeptBytes ?? unit.KeptBytes, unit.DeferredBytes, unit.OutputBytes, unit.StateBytes, unit.GradientBytes);

    private static UnitProfile FromWire(MeasuredUnit unit) => new()
    {
        Name = unit.Name,
        Forward = unit.Forward,
        Backward = unit.Backward,
        InputGradient = unit.InputGradient,
        WeightGradient = unit.WeightGradient,
        Optimizer = unit.Optimizer,
        SelectiveRecompute = unit.SelectiveRecompute,
        KeptBytes = unit.KeptBytes,
        SelectiveKeptBytes = unit.SelectiveKeptBytes,
        DeferredBytes = unit.DeferredBytes,
        OutputBytes = unit.OutputBytes,
        StateBytes = unit.StateBytes,
        GradientBytes = unit.GradientBytes,
    };

    private sealed class Unsaid : IProgress<string>
    {
        public void Report(string value)
        {
        }
    }
}
