using Pipeline.Cli.Configuration;
using Pipeline.Model;
using Pipeline.Schedules;

namespace Pipeline.Cli.Planning;

/// <summary>A measurement of all units on this machine: the units one by one, and a pipeline for what an action costs besides them.</summary>
/// <param name="settings">Model, arithmetic, and ranks that will compute side by side.</param>
/// <param name="sizes">Sizes of micro-batch, the run's first.</param>
/// <param name="budget">Time for each size.</param>
/// <param name="progress">Told what goes on.</param>
internal sealed class UnitMeasurement(RunSettings settings, IReadOnlyList<int> sizes, TimeSpan budget, IProgress<string> progress)
{
    /// <summary>Measures. Most of it happens on the caller's thread.</summary>
    /// <param name="cancellation">Ends it between two rounds.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public async Task<ProfileFile> RunAsync(CancellationToken cancellation = default)
    {
        var units = DecoderTransformer.Units(settings.Model);
        // Half of the units' time before the pipeline that calibrates and half after it: where a machine's speed drifts, both then mean the same.
        var profiler = new UnitProfiler(settings, units, budget / 2, cancellation);
        progress.Report($"Measuring {units.Count} units with micro-batches of {string.Join(", ", sizes)} on {settings.Step.StageCount} threads, twice, and a pipeline in between …");
        var before = sizes.ToDictionary(size => size, profiler.Measure);
        progress.Report("Running a pipeline for what an action costs besides its units …");
        var calibration = await ProfileCalibration.RunAsync(settings, units, before[sizes[0]], sizes[0], budget, cancellation).ConfigureAwait(false);
        progress.Report("Measuring the units once more …");
        SortedDictionary<int, List<UnitProfile>> measured = [];
        foreach (var size in sizes) measured[size] = [.. before[size].Zip(profiler.Measure(size), Mean)];
        var (overhead, latency) = calibration.Against(measured[sizes[0]]);
        return new ProfileFile(Environment.MachineName, DateTimeOffset.UtcNow, ProfileStore.Word(settings), overhead, latency, measured);
    }

    private static UnitProfile Mean(UnitProfile one, UnitProfile other) => one with
    {
        Forward = (one.Forward + other.Forward) / 2,
        Backward = (one.Backward + other.Backward) / 2,
        InputGradient = (one.InputGradient + other.InputGradient) / 2,
        WeightGradient = (one.WeightGradient + other.WeightGradient) / 2,
        Optimizer = (one.Optimizer + other.Optimizer) / 2,
        SelectiveRecompute = (one.SelectiveRecompute + other.SelectiveRecompute) / 2,
    };
}
