using System.Text.Json;
using System.Text.RegularExpressions;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Tests.Operator;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Coordinator;

/// <summary>What programs may rely on: every line that a run leaves has the fields that docs/operator.md names, and no event is written that it does not name.</summary>
public sealed partial class RecordSchemaTests : IDisposable
{
    private static readonly string[] Everywhere = ["time", "event", "severity"];

    /// <summary>Written where a run is opened, or by the run's watch under names of its own.</summary>
    private static readonly string[] NotFromNotices = ["leader-began", "flight-lost", "loss-spike", "step-revised", "stalled", "straggler", "throughput-fell", "disk-nearly-full", "rebalance", "checkpoint-late", "evaluation-lost"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Every_event_has_the_fields_that_the_documentation_names()
    {
        var documented = Documented();
        var written = Events(All()).ToArray();
        foreach (var line in written)
        {
            var name = line.GetProperty("event").GetString()!;
            Assert.True(documented.ContainsKey(name), $"{name} is not documented");
            Assert.Equal([.. Everywhere, .. documented[name].Order(StringComparer.Ordinal)], Order(line));
            Assert.True(line.GetProperty("severity").GetString() is "information" or "warning" or "error");
        }

        Assert.Equal(documented.Keys.Except(NotFromNotices).Order(StringComparer.Ordinal), written.Select(line => line.GetProperty("event").GetString()!).Distinct().Order(StringComparer.Ordinal));
    }

    [Fact]
    public void No_notice_of_a_run_is_forgotten_here() => Assert.Equal(
        typeof(RunNotice).GetNestedTypes().Select(type => type.Name).Order(StringComparer.Ordinal),
        All().Select(notice => notice.GetType().Name).Distinct().Order(StringComparer.Ordinal));

    [Fact]
    public void Lines_of_metrics_have_the_fields_that_the_documentation_names()
    {
        var rows = Rows().ToDictionary(row => row.Head, row => row.Fields);
        RunFiles files = new(_folder.Folder);
        Record(files,
        [
            new RunNotice.StepCommitted(Steps.Of(1, double.NaN) with { Digests = [new ParameterDigest("head", "head.weight", "aa", "bb", "cc")] }),
            new RunNotice.StepCommitted(Steps.Of(2, 2.5) with { Ranks = [new RankSummary(0, new StepTiming(1, 0.5, 0.25, 3, 0.1, 100), 0, [])] }),
            new RunNotice.Evaluated(2, 2.25, 10),
        ]);
        var lines = File.ReadLines(files.Metrics).Select(line => JsonDocument.Parse(line).RootElement).ToArray();
        Assert.Equal(rows["step"], lines[0].EnumerateObject().Select(field => field.Name));
        Assert.Equal(JsonValueKind.Null, lines[0].GetProperty("loss").ValueKind);
        Assert.Equal(rows["of `stages`"], lines[1].GetProperty("stages")[0].EnumerateObject().Select(field => field.Name));
        Assert.Equal(rows["evaluation"], lines[2].EnumerateObject().Select(field => field.Name));
    }

    private static IEnumerable<RunNotice> All()
    {
        NodeInfo node = new(new NodeId("a", 1), "", [], "", 1, 0, 1, "here", "");
        Generation second = new(2);
        return
        [
            new RunNotice.StagesReady(5), new RunNotice.StepCommitted(Steps.Of(1, 2.5)), new RunNotice.Evaluated(1, 2, 3), new RunNotice.CheckpointSaved(1, 2, "It cannot be removed."), new RunNotice.SaveFailed(1, "The disk is full."),
            new RunNotice.StageFailed(new StageProtocol.StageFailed(second, 1, 1, 2, "1F0", "It failed.", StageFailureKind.Action, "trace")), new RunNotice.Stopping(4), new RunNotice.Paused(3), new RunNotice.Resumed(3),
            new RunNotice.SettingChanged(new SettingChange(4, SettingKind.Clip, 0.5)), new RunNotice.Commanded("somebody", "pause", true, "It pauses."), new RunNotice.Commanded("nobody", "stop", false, "The token is missing."),
            new RunNotice.Warned("non-finite", 3, "It is infinite."), new RunNotice.FlightGathered(new FlightDump("nothing has moved", 3, 2, 1, [])), new RunNotice.NodeJoined(node), new RunNotice.NodeLost(node, "It is gone."),
            new RunNotice.Placed([node], [null]), new RunNotice.Recovering(second, "a node is gone", [(0, node.Id)]), new RunNotice.Recovered(second, TimeSpan.Zero, TimeSpan.Zero, TimeSpan.Zero),
            new RunNotice.RolledBack(second, 2, "Step 3 is not finite."), new RunNotice.UnitsMoved(4, [2, 3]),
            new RunNotice.Grouped(["here: replicas 0, 1"], true), new RunNotice.ReplicasChanged(4, 3, 2, "there is no room for all", false),
            new RunNotice.Ended(new RunOutcome(RunEnd.Completed, 5)), new RunNotice.Ended(new RunOutcome(RunEnd.Stopped, 5)), new RunNotice.Ended(new RunOutcome(RunEnd.Failed, 5, "It failed.")),
        ];
    }

    private IEnumerable<JsonElement> Events(IEnumerable<RunNotice> notices)
    {
        RunFiles files = new(_folder.Folder);
        Record(files, notices);
        return File.ReadLines(files.Events).Select(line => JsonDocument.Parse(line).RootElement);
    }

    private static void Record(RunFiles files, IEnumerable<RunNotice> notices)
    {
        using RunRecorder recorder = new(MetricsWriter.Create(files.Metrics), DigestFile.Create(files.Digests), EventLog.Open(files.Events, TimeProvider.System), bitsPerByte: loss => loss, ledger: SettingsLedger.Resume(files.Changes, 0), files: files);
        foreach (var notice in notices) recorder.OnNotice(notice);
    }

    private static IEnumerable<string> Order(JsonElement line) =>
        [.. Everywhere.Where(name => line.TryGetProperty(name, out _)), .. line.EnumerateObject().Select(field => field.Name).Except(Everywhere).Order(StringComparer.Ordinal)];

    private static Dictionary<string, string[]> Documented() => Rows()
        .SelectMany(row => Word().Matches(row.Head).Select(name => (Name: name.Groups[1].Value, row.Fields))).Where(row => row.Name.Contains('-', StringComparison.Ordinal) || row.Name is "placed" or "recovering" or "recovered" or "stalled" or "straggler" or "rebalance")
        .ToDictionary(row => row.Name, row => row.Fields);

    /// <summary>Rows of the tables below "What programs may rely on".</summary>
    private static IEnumerable<(string Head, string[] Fields)> Rows() => File.ReadLines(Path.Combine(RepositoryRoot.Path, "docs", "operator.md")).SkipWhile(line => line != "## What programs may rely on")
        .Where(line => line.StartsWith("| ", StringComparison.Ordinal) && !line.StartsWith("| ---", StringComparison.Ordinal)).Select(line => line.Trim('|', ' ').Split(" | "))
        .Select(cells => (cells[0].Trim(), Word().Matches(cells[1].Split('(')[0]).Select(field => field.Groups[1].Value).Where(field => field != "run.digest-every").ToArray()));

    [GeneratedRegex("`([a-z_.-]+)`")]
    private static partial Regex Word();
}
