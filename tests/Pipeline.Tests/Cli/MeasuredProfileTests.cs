using System.Text.Json;
using Pipeline.Cli;
using Pipeline.Tests.Model;
using Pipeline.Tests.Training;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>A profile as a user would have it taken. Alone in the process: memory that units keep is told by what the whole process holds.</summary>
[Collection(PipelineCollection.Name)]
public sealed class MeasuredProfileTests : IDisposable
{
    private readonly CommandLineTraining _training = new();

    public void Dispose() => _training.Dispose();

    [Fact]
    public void A_profile_turns_the_plan_and_the_prediction_into_seconds()
    {
        LiveTensors.Settle();
        var file = _training.In("profile.json");
        string[] model =
        [
            "--preset", "gpt-nano", "--precision", "fp32", "--set", "model.layers=1", "--set", "model.width=32", "--set", "model.heads=2", "--set", "model.context=16",
            "--set", "model.vocabulary=300", "--set", "model.dropout=0.1", "--micro-batch-size", "2",
        ];
        var profile = _training.Run(["profile", "--seconds", "0", "--out", file, .. model]);
        Assert.Equal(ExitCode.Done, profile.Code);
        Assert.StartsWith("Measuring 4 units", profile.Error, StringComparison.Ordinal);
        using var json = JsonDocument.Parse(File.ReadAllText(file));
        var units = json.RootElement.GetProperty("sizes").GetProperty("2").EnumerateArray().ToArray();
        Assert.Equal(4, units.Length);
        foreach (var unit in units)
            foreach (var cost in new[] { "forward", "backward", "input-gradient", "weight-gradient", "optimizer", "kept-bytes", "state-bytes" })
                Assert.True(unit.GetProperty(cost).GetDouble() > 0, $"{unit.GetProperty("name")} {cost}");
        Assert.Contains("costs    measured on", _training.Run(["plan", "--profile", file, "--stages", "2", .. model]).Output, StringComparison.Ordinal);
        Assert.Contains("ms a step, measured", _training.Train("predicted", "--precision", "fp32", "--set", $"profile={file}").Output, StringComparison.Ordinal);
        var other = _training.Run(["plan", "--profile", file, .. model, "--set", "model.layers=2"]);
        Assert.Equal(ExitCode.Refused, other.Code);
        Assert.Contains("is of another model", other.Error, StringComparison.Ordinal);
    }
}
