using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using Pipeline.Model;
using Pipeline.Schedules;

namespace Pipeline.Bench.Workloads;

/// <summary>What the planner chooses at a given number and size of micro-batches, from what <c>pipeline profile</c> measures on this machine.</summary>
internal static class PlannedLayout
{
    private static readonly JsonSerializerOptions s_options = new() { PropertyNamingPolicy = JsonNamingPolicy.KebabCaseLower };

    /// <summary>Measures the units of a model.</summary>
    /// <param name="settings">The model, untied.</param>
    /// <param name="precision">Arithmetic.</param>
    /// <param name="rankCount">Threads that compute side by side.</param>
    /// <param name="microBatchSize">Samples of a micro-batch.</param>
    public static async Task<ModelProfile> ProfileAsync(ModelSettings settings, Precision precision, int rankCount, int microBatchSize)
    {
        var file = Path.GetTempFileName();
        try
        {
            await BuiltProgram.RunAsync(
            [
                "profile", "--preset", "gpt-small", "--stages", Text(rankCount), "--micro-batch-size", Text(microBatchSize), "--precision", precision == Precision.Fp32 ? "fp32" : "bf16", "--out", file,
                "--set", $"model.layers={settings.Layers}", "--set", $"model.width={settings.Width}", "--set", $"model.heads={settings.Heads}",
                "--set", $"model.context={settings.Context}", "--set", $"model.vocabulary={settings.Vocabulary}",
            ]).ConfigureAwait(false);
            var profile = JsonSerializer.Deserialize<Profile>(await File.ReadAllTextAsync(file).ConfigureAwait(false), s_options)!;
            return new ModelProfile
            {
                Source = "measured",
                IsMeasured = true,
                BySize = profile.Sizes.ToImmutableSortedDictionary(pair => pair.Key, pair => pair.Value.ToImmutableArray()),
                ActionOverhead = profile.ActionOverhead,
                HopLatency = profile.HopLatency,
            };
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <summary>The choice.</summary>
    public static PlanCandidate Choose(ModelProfile profile, int rankCount, int microBatchCount, int microBatchSize, bool waitsForNorm) => Planner.Find(new PlanRequest
    {
        Profile = profile,
        SamplesPerStep = microBatchCount * microBatchSize,
        Ranks = [.. Enumerable.Repeat(new NodeCapacity(1, long.MaxValue), rankCount)],
        MicroBatchSizes = [microBatchSize],
        Recomputes = [RecomputePolicy.None],
        WaitsForNorm = waitsForNorm,
    }).Choice!;

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private sealed record Profile(double ActionOverhead, double HopLatency, SortedDictionary<int, List<UnitProfile>> Sizes);
}
