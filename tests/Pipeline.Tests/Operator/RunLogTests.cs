using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging;
using Pipeline.Coordinator;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Operator;

/// <summary>The log of a run: every event named, with run, generation, step and rank, as text or as JSON.</summary>
public sealed class RunLogTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_line_of_json_holds_the_event_and_where_in_the_run_it_happened()
    {
        var lines = Written(LogFormat.Json).Select(line => JsonNode.Parse(line)!.AsObject()).ToArray();
        Assert.Equal(["run-paused", "recovering", "stage-failed", "run-ended"], lines.Select(line => line["event"]!.GetValue<string>()));
        Assert.Equal(["information", "warning", "error", "error"], lines.Select(line => line["level"]!.GetValue<string>()));
        Assert.Equal([1, 3, 3, 3], lines.Select(line => line["generation"]!.GetValue<int>()));
        Assert.All(lines, line => Assert.Equal("first", line["run"]!.GetValue<string>()));
        Assert.Equal([7L, 7L, 8L, 7L], lines.Select(line => line["step"]!.GetValue<long>()));
        Assert.Equal([null, null, 2, null], lines.Select(line => line["rank"]?.GetValue<int>()));
        Assert.Equal(["time", "level", "category", "event", "run", "generation", "step", "rank", "message"], lines[2].Select(field => field.Key));
    }

    [Fact]
    public void A_line_of_text_is_one_line_that_drives_no_terminal()
    {
        var lines = Written(LogFormat.Text);
        Assert.Equal(4, lines.Length);
        Assert.Matches(@"^\d{4}-\d\d-\d\dT[\d:.]+Z error       stage-failed run=first generation=3 step=8 rank=2  ", lines[2]);
        Assert.All(lines, line => Assert.DoesNotContain(line, char.IsControl));
    }

    [Fact]
    public void Whoever_collects_logs_gets_the_fields_as_values_and_steps_only_if_asked()
    {
        Collected collected = new();
        using (RunLog log = new(LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Debug).AddProvider(collected)), "first", TimeProvider.System))
        {
            log.OnNotice(new RunNotice.StepCommitted(Steps.Of(5, 2.5)));
            log.OnNotice(new RunNotice.Paused(5));
        }

        Assert.Equal([("step-committed", LogLevel.Debug), ("run-paused", LogLevel.Information)], collected.Entries.Select(entry => (entry.Name, entry.Level)));
        Assert.Contains(new KeyValuePair<string, object?>("step", 5L), collected.Entries[0].Fields);
        Assert.Contains(new KeyValuePair<string, object?>("generation", 1), collected.Entries[0].Fields);
    }

    [SkippableFact]
    public void A_log_whose_disk_fills_up_ends_and_neither_that_nor_its_closing_holds_the_run_up()
    {
        using var disk = Cli.SmallDisk.Mount(_folder.In("disk"), 64);
        var path = Path.Combine(disk.Path, "run.log");
        var log = RunLog.Open(path, LogFormat.Text, "first", TimeProvider.System);
        log.OnNotice(new RunNotice.Paused(1));
        Assert.Single(File.ReadAllLines(path));
        disk.FillUpTo(0);
        // What is left of the file's last page, and more.
        for (var step = 2; step < 300; step++) log.OnNotice(new RunNotice.Paused(step));
        var length = new FileInfo(path).Length;
        log.Dispose();
        Assert.Equal(length, new FileInfo(path).Length);
        Assert.InRange(length, 1, 8192);
    }

    [Fact]
    public void A_log_is_appended_to_and_one_that_cannot_be_written_does_not_hold_the_run_up()
    {
        Written(LogFormat.Text);
        Assert.Equal(8, Written(LogFormat.Text).Length);
        File.WriteAllText(_folder.In("file"), "");
        using var log = RunLog.Open(Path.Combine(_folder.In("file"), "run.log"), LogFormat.Text, "first", TimeProvider.System);
        log.OnNotice(new RunNotice.Paused(5));
    }

    private string[] Written(LogFormat format)
    {
        var path = _folder.In("logs/run.log");
        using (var log = RunLog.Open(path, format, "first", TimeProvider.System))
        {
            log.OnNotice(new RunNotice.StepCommitted(Steps.Of(7, 2.5)));
            log.OnNotice(new RunNotice.Paused(7));
            log.OnNotice(new RunNotice.Recovering(new Generation(3), "node-2: its process has ended\u001b[2J", []));
            log.OnNotice(new RunNotice.StageFailed(new StageProtocol.StageFailed(new Generation(3), 2, 2, 8, "2F1", "Rank 2 failed\nbadly.", StageFailureKind.Action, "")));
            log.OnNotice(new RunNotice.Ended(new RunOutcome(RunEnd.Failed, 7, "It failed.")));
        }

        return File.ReadAllLines(path);
    }

    private sealed class Collected : ILoggerProvider, ILogger
    {
        internal List<(string Name, LogLevel Level, IReadOnlyList<KeyValuePair<string, object?>> Fields)> Entries { get; } = [];

        public ILogger CreateLogger(string categoryName) => this;

        public void Dispose()
        {
        }

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Entries.Add((eventId.Name!, logLevel, [.. (IEnumerable<KeyValuePair<string, object?>>)state!]));
    }
}
