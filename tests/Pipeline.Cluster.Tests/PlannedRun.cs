using System.Text.RegularExpressions;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>The settings that the nodes of a run have read.</summary>
/// <param name="Text">As they are stored with its checkpoints.</param>
internal sealed record PlannedRun(string Text)
{
    /// <summary>Asserts that the nodes have read the choice that was said: its schedule, recomputation and micro-batches.</summary>
    /// <param name="run">The run's directory.</param>
    /// <param name="output">What was said.</param>
    internal static PlannedRun AssertCarriedOut(string run, string output)
    {
        PlannedRun read = new(File.ReadAllText(Directory.GetFiles(new RunFiles(run).Checkpoints, "config.conf", SearchOption.AllDirectories).Order(StringComparer.Ordinal).Last()));
        var chosen = Regex.Match(output, @"plan +(?<kind>[\w-]+)(, \d+ stages a rank)?(, \d+ held)?, (?<count>\d+) × (?<size>\d+) samples(, (?<recompute>\w+) recomputation)? is chosen of");
        Assert.True(chosen.Success, output);
        Assert.Equal(chosen.Groups["kind"].Value, read.Value("schedule.name"));
        Assert.Equal(chosen.Groups["count"].Value, read.Value("schedule.micro-batches"));
        Assert.Equal(chosen.Groups["size"].Value, read.Value("schedule.micro-batch-size"));
        Assert.Equal(chosen.Groups["recompute"].Success ? chosen.Groups["recompute"].Value : "none", read.Value("schedule.recompute"));
        Assert.Equal("none", read.Value("plan"));
        Assert.NotEqual("null", read.Value("schedule.partition"));
        return read;
    }

    /// <summary>A setting, as text.</summary>
    internal string Value(string key) => Regex.Match(Text, $"^pipeline\\.{Regex.Escape(key)} = \"?([^\"\n]*?)\"? *$", RegexOptions.Multiline).Groups[1].Value;
}
