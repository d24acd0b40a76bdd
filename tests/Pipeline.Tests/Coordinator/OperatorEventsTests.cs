using System.Text.Json;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Coordinator;

/// <summary>The shape of what operators and watchdog leave in a run's directory, which programs rely on.</summary>
public sealed class OperatorEventsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Events_have_the_documented_fields()
    {
        RunFiles files = new(_folder.Folder);
        using (RunRecorder recorder = new(MetricsWriter.Create(files.Metrics), DigestFile.Create(files.Digests), EventLog.Open(files.Events, TimeProvider.System), ledger: SettingsLedger.Resume(files.Changes, 0)))
        {
            recorder.OnNotice(new RunNotice.Paused(3));
            recorder.OnNotice(new RunNotice.Resumed(3));
            recorder.OnNotice(new RunNotice.SettingChanged(new SettingChange(4, SettingKind.LearningRate, 1e-4)));
            recorder.OnNotice(new RunNotice.SettingChanged(new SettingChange(5, SettingKind.GradientCompression, 2)));
            recorder.OnNotice(new RunNotice.Commanded("someone@here", "stop --yes", true, "The run stops."));
            recorder.OnNotice(new RunNotice.Commanded("nobody", "stop", false, "The token is missing."));
            recorder.OnNotice(new RunNotice.Warned("straggler", 5, "Rank 1 is slow."));
        }

        var lines = File.ReadLines(files.Events).Select(line => JsonDocument.Parse(line).RootElement).ToArray();
        Assert.Equal(
            [
                "run-paused: time event severity step",
                "run-resumed: time event severity step",
                "setting-changed: time event severity step setting value",
                "setting-changed: time event severity step setting value",
                "command-done: time event severity operator command result id",
                "command-refused: time event severity operator command result id",
                "straggler: time event severity step message",
            ],
            lines.Select(line => $"{line.GetProperty("event").GetString()}: {string.Join(' ', line.EnumerateObject().Select(field => field.Name))}"));
        Assert.Equal([new ChangedSetting(4, "lr", 1e-4), new ChangedSetting(5, "compression", double.NaN, "int8")], SettingsLedger.Read(files.Changes));
        Assert.Equal("int8", lines[3].GetProperty("value").GetString());
    }

    [Fact]
    public void A_resume_drops_what_was_to_hold_for_steps_taken_anew()
    {
        var path = _folder.In("changes.jsonl");
        using (var ledger = SettingsLedger.Resume(path, 0))
        {
            ledger.Write(new ChangedSetting(4, "lr", 1e-4));
            ledger.Write(new ChangedSetting(11, "clip", 0.5));
        }

        Assert.Single(SettingsLedger.Read(path, throughStep: 9));
        SettingsLedger.Resume(path, 10).Dispose();
        Assert.Equal(2, SettingsLedger.Read(path).Count);
        SettingsLedger.Resume(path, 9).Dispose();
        Assert.Equal([new ChangedSetting(4, "lr", 1e-4)], SettingsLedger.Read(path));
    }

    [Fact]
    public void A_run_of_which_nothing_is_changed_leaves_no_ledger()
    {
        SettingsLedger.Resume(_folder.In("changes.jsonl"), 0).Dispose();
        Assert.Empty(Directory.GetFiles(_folder.Folder));
    }
}
