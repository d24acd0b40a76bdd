using Pipeline.Cli.Configuration;
using Pipeline.Cli.Planning;
using Pipeline.Protocol.Wire;
using Xunit;
using static Pipeline.Protocol.ProfileProtocol;

namespace Pipeline.Tests.Cli;

/// <summary>A node measures what others ask it to, within limits that are its own.</summary>
public sealed class NodeMeasurementTests
{
    private static readonly BoundConfiguration s_tiny = RunSettingsBinder.Settle(
        RunSettingsBinder.Resolve(ConfigurationSources.None with
        {
            Assignments = ConfigurationLayer.FromAssignments(["model.layers=1", "model.width=16", "model.heads=2", "model.context=16", "model.vocabulary=300", "parallelism.pipeline=2"]),
        }),
        () => false);

    [Fact]
    public async Task What_a_node_has_measured_crosses_the_wire_and_is_a_profile_of_the_model_that_was_asked_for()
    {
        var costs = await NodeMeasurement.RunAsync(Ask(), CancellationToken.None);
        var entry = WireManifests.Of(typeof(UnitsMeasured))!;
        var read = (UnitsMeasured)entry.Read(entry.Write(new UnitsMeasured("id", "a", costs, "")));
        var file = NodeMeasurement.ToFile(read.Costs!, "machine", "node", 12, DateTimeOffset.UnixEpoch);
        Assert.Null(file.Fault(s_tiny.Settings));
        Assert.Equal([1, 2], file.Sizes.Keys);
        Assert.All(file.Sizes.Values.SelectMany(units => units), unit => Assert.True(unit is { Forward: > 0, Backward: > 0, StateBytes: > 0 }));
        Assert.True(StoredProfile.Of(file).Profile.IsMeasured);
        Assert.Equal(costs.Sizes.SelectMany(size => size.Units), read.Costs!.Sizes.SelectMany(size => size.Units));
    }

    [Fact]
    public async Task A_measurement_that_is_no_longer_wanted_ends_before_its_time()
    {
        using CancellationTokenSource stop = new();
        // An hour, if nothing ended it.
        var measuring = NodeMeasurement.RunAsync(Ask() with { Seconds = MostSeconds, Sizes = [1, 2, 3, 4, 5, 6] }, stop.Token);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => measuring);
    }

    [Fact]
    public async Task What_is_beyond_a_node_s_limits_is_refused_before_anything_is_made()
    {
        await RefusedAsync("of at most 100000 characters", Ask() with { Configuration = new string(' ', 100_001) });
        await RefusedAsync("0 to 600 seconds", Ask() with { Seconds = double.NaN });
        await RefusedAsync("0 to 600 seconds", Ask() with { Seconds = 601 });
        await RefusedAsync("1 to 1024 ranks", Ask() with { RankCount = 0 });
        await RefusedAsync("from 1 to 32768, each once", Ask() with { Sizes = [] });
        await RefusedAsync("from 1 to 32768, each once", Ask() with { Sizes = [1, 1] });
        await RefusedAsync("from 1 to 32768, each once", Ask() with { Sizes = [-1] });
        await RefusedAsync("Measure fewer sizes at a time", Ask() with { Sizes = [.. Enumerable.Range(1, 200)] });
        await RefusedAsync("hold the whole model each need", Ask() with { Configuration = Text(s_tiny.Configuration.With(ModelKeys.Width, 8192, new("test")).With(ModelKeys.Layers, 100, new("test"))) });
        await RefusedAsync("nonsense", Ask() with { Configuration = "pipeline.nonsense = 1" });
    }

    private static async Task RefusedAsync(string words, MeasureUnits ask)
    {
        var refusal = await Assert.ThrowsAnyAsync<Exception>(() => NodeMeasurement.RunAsync(ask, CancellationToken.None));
        Assert.Contains(words, refusal.Message, StringComparison.Ordinal);
    }

    private static MeasureUnits Ask() => new("id", Text(s_tiny.Configuration), [2, 1], 0, 1);

    private static string Text(ResolvedConfiguration configuration) => ConfigurationPrinter.Hocon(configuration, withOrigins: false);
}
