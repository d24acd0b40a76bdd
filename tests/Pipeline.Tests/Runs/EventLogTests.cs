using System.Text.Json;
using CsCheck;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Runs;

public sealed class EventLogTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void An_event_is_a_line_with_time_name_severity_and_fields()
    {
        using (var log = EventLog.Open(_folder.In("events.jsonl"), new FixedTime()))
            log.Write("checkpoint-saved", EventSeverity.Information, EventField.Of("step", 40), EventField.Of("seconds", 0.5), EventField.Of("final", false), EventField.Of("loss", double.NaN));
        Assert.Equal(
            "{\"time\":\"2026-01-31T12:34:56.789Z\",\"event\":\"checkpoint-saved\",\"severity\":\"information\",\"step\":40,\"seconds\":0.5,\"final\":false,\"loss\":null}\n",
            File.ReadAllText(_folder.In("events.jsonl")));
    }

    [Fact]
    public void A_file_is_known_to_hold_the_events_that_were_written_and_none_that_a_field_merely_names()
    {
        var path = _folder.In("events.jsonl");
        Assert.False(EventLog.Holds(path, "one"));
        using (var log = EventLog.Open(path, new FixedTime()))
        {
            log.Write("one", EventSeverity.Information, EventField.Of("message", "two"));
            log.Write("three", EventSeverity.Information);
        }

        Assert.True(EventLog.Holds(path, "one"));
        Assert.True(EventLog.Holds(path, "three"));
        Assert.False(EventLog.Holds(path, "two"));
    }

    [Fact]
    public void No_text_can_forge_a_line_or_drive_a_terminal()
    {
        var hostile = Gen.Char.Array[0, 30].Select(chars => new string(chars) + "\n{\"event\":\"forged\"}\u001b[2J\u2028\u0085\ud800");
        Gen.Select(hostile, hostile).Sample((name, value) =>
        {
            var path = _folder.In("events.jsonl");
            File.Delete(path);
            using (var log = EventLog.Open(path, new FixedTime()))
                log.Write(name, EventSeverity.Warning, EventField.Of("f" + name, value));
            var text = File.ReadAllText(path);
            Assert.All(text[..^1], c => Assert.InRange(c, ' ', '~'));
            Assert.Equal('\n', text[^1]);
            using var line = JsonDocument.Parse(text);
            Assert.Equal(4, line.RootElement.EnumerateObject().Count());
        }, iter: 200, threads: 1);
    }

    [Fact]
    public void Reserved_and_repeated_field_names_are_refused()
    {
        using var log = EventLog.Open(_folder.In("events.jsonl"), new FixedTime());
        Assert.Throws<ArgumentException>(() => log.Write("x", EventSeverity.Error, EventField.Of("time", 1)));
        Assert.Throws<ArgumentException>(() => log.Write("x", EventSeverity.Error, EventField.Of("a", 1), EventField.Of("a", 2)));
    }

    [Fact]
    public void A_resumed_log_keeps_what_happened_and_drops_a_torn_line()
    {
        var path = _folder.In("events.jsonl");
        File.WriteAllText(path, "{\"event\":\"first\"}\n{\"event\":\"to");
        using (var log = EventLog.Open(path, new FixedTime()))
            log.Write("second", EventSeverity.Error);
        Assert.Equal(2, File.ReadAllLines(path).Length);
        Assert.StartsWith("{\"event\":\"first\"}\n{\"time\"", File.ReadAllText(path), StringComparison.Ordinal);
    }
}
