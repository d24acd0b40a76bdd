using System.Text.Json;
using CsCheck;
using Pipeline.Cli.Configuration;
using Xunit;

namespace Pipeline.Tests.Cli;

public sealed class ConfigurationPrinterTests
{
    private static readonly Gen<string> AnyText = Gen.String[Gen.Char[" abcZ09/\\\"'#{}[]=:,$.*?é漢\t\n"], 1, 20].Where(text => text.Trim() is not ("null" or ""));

    private static readonly Gen<ConfigurationLayer> AnyLayer =
        from layers in Gen.Int[1, 64]
        from rate in Gen.Double[1e-9, 10]
        from path in AnyText
        from beta in Gen.Double[0, 0.999]
        from tied in Gen.Bool
        from seed in Gen.Long[0, uint.MaxValue]
        select new ConfigurationLayer(
            [
                Entry(ModelKeys.Layers, $"{layers}"), Entry(OptimizerKeys.LearningRate, NumberRange.Text(rate)), Entry(DataKeys.Path, path),
                new(OptimizerKeys.Betas.FullPath, new(null, [NumberRange.Text(beta), "0.5"]), new("test")),
                Entry(ModelKeys.Tied, tied ? "on" : "off"), Entry(SettingsSchema.Seed, $"{seed}"),
            ],
            []);

    private static ConfigurationEntry Entry(Setting setting, string text) => new(setting.FullPath, new(text), new("test"));

    [Fact]
    public void What_is_stored_with_a_run_reads_back_to_the_same_settings()
    {
        AnyLayer.Sample(layer =>
        {
            var bound = RunSettingsBinder.Resolve(ConfigurationSources.None with { Assignments = layer });
            var text = ConfigurationPrinter.Hocon(bound.Configuration);
            var again = RunSettingsBinder.Resume(ConfigurationLayer.FromHocon("config.conf", text), ConfigurationSources.None);
            // The cluster's lists are equal by their text, below.
            Assert.Equal(bound.Settings with { Cluster = again.Settings.Cluster }, again.Settings);
            Assert.Equal(ConfigurationPrinter.Hocon(bound.Configuration, withOrigins: false), ConfigurationPrinter.Hocon(again.Configuration, withOrigins: false));
        }, iter: 200);
    }

    [Fact]
    public void Every_line_names_key_value_and_origin()
    {
        var lines = ConfigurationPrinter.Hocon(ConfigurationResolver.Resolve(ConfigurationSources.None)).TrimEnd().Split('\n');
        Assert.Equal(SettingsSchema.All.Count, lines.Length);
        Assert.All(lines, line => Assert.Matches("^pipeline\\.[a-z.-]+ = .+  # (reference.conf|preset gpt-micro), line [0-9]+$", line));
    }

    [Fact]
    public void Json_holds_the_same_keys_with_values_of_their_types()
    {
        using var json = JsonDocument.Parse(ConfigurationPrinter.Json(ConfigurationResolver.Resolve(ConfigurationSources.None)));
        Assert.Equal(SettingsSchema.All.Select(setting => setting.FullPath), json.RootElement.EnumerateObject().Select(property => property.Name));
        Assert.Equal(6, json.RootElement.GetProperty("pipeline.model.layers").GetProperty("value").GetInt32());
        Assert.Equal("preset gpt-micro", json.RootElement.GetProperty("pipeline.model.layers").GetProperty("origin").GetString());
        Assert.Equal(JsonValueKind.True, json.RootElement.GetProperty("pipeline.model.tied").GetProperty("value").ValueKind);
        Assert.Equal(0.95, json.RootElement.GetProperty("pipeline.optimizer.betas").GetProperty("value")[1].GetDouble());
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("pipeline.data.path").GetProperty("value").ValueKind);
        Assert.Equal("layer", json.RootElement.GetProperty("pipeline.model.norm").GetProperty("value").GetString());
    }
}
