using System.Text.RegularExpressions;
using Pipeline.Cli.Configuration;
using Xunit;

namespace Pipeline.Tests.Cli;

public sealed partial class ReferenceConfigurationTests
{
    [Fact]
    public void The_reference_and_the_schema_name_the_same_keys()
    {
        var layer = Presets.Reference();
        Assert.Empty(layer.Faults);
        Assert.Equal(SettingsSchema.All.Select(setting => setting.FullPath).Order(), layer.Entries.Select(entry => entry.FullPath).Order());
    }

    [Fact]
    public void Every_key_has_a_comment_that_says_what_is_expected_in_the_words_of_the_errors()
    {
        var lines = Presets.ReferenceText.Split('\n');
        foreach (var entry in Presets.Reference().Entries)
        {
            var comment = string.Join(" ", lines.Take(entry.Origin.Line - 1).Reverse().TakeWhile(line => line.Trim().StartsWith('#')).Reverse()
                .Select(line => line.Trim().TrimStart('#').Trim()));
            var expectation = SettingsSchema.Find(entry.FullPath)!.Expectation;
            Assert.True(comment.Contains($"Expected: {expectation}.", StringComparison.Ordinal), $"{entry.FullPath}: '{comment}' lacks 'Expected: {expectation}.'");
            Assert.True(Sentence().IsMatch(comment.Replace($"Expected: {expectation}.", "", StringComparison.Ordinal)), $"{entry.FullPath} has no reason.");
        }
    }

    public static TheoryData<string> PresetNames => new(Presets.Names);

    [Theory]
    [MemberData(nameof(PresetNames))]
    public void Every_preset_resolves_and_is_a_model_that_can_be_built(string name)
    {
        var settings = Resolve(name);
        Assert.Equal(name, settings.Preset);
        Assert.Empty(settings.Model.Faults());
    }

    [Theory]
    [InlineData("gpt-nano", 4, 128, 4, 4, 128, 2048, true)]
    [InlineData("gpt-micro", 6, 192, 6, 6, 256, 4096, true)]
    [InlineData("gpt-small", 8, 512, 8, 8, 256, 8192, false)]
    [InlineData("llama-nano", 4, 128, 4, 2, 128, 2048, true)]
    public void Presets_have_the_shapes_that_the_contract_names(
        string name, int layers, int width, int heads, int keyValueHeads, int context, int vocabulary, bool tied)
    {
        var model = Resolve(name).Model;
        Assert.Equal((layers, width, heads, keyValueHeads, context, vocabulary, tied),
            (model.Layers, model.Width, model.Heads, model.KeyValueHeads, model.Context, model.Vocabulary, model.Tied));
    }

    [Fact]
    public void The_default_preset_repeats_the_reference_so_that_nothing_depends_on_which_is_read()
    {
        var reference = Presets.Reference().Entries.ToDictionary(entry => entry.FullPath, entry => entry.Value.Text);
        foreach (var entry in Presets.Layer("gpt-micro").Entries) Assert.Equal(reference[entry.FullPath], entry.Value.Text);
    }

    private static RunSettings Resolve(string preset) => RunSettingsBinder.Resolve(
        ConfigurationSources.None with { Flags = ConfigurationLayer.FromFlags([(SettingsSchema.Preset, "--preset", preset)]) }).Settings;

    [GeneratedRegex("[A-Za-z]{3,}")]
    private static partial Regex Sentence();
}
