using System.Text;
using Pipeline.Cli;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>What lasts is spoken of, what does not is not.</summary>
public sealed class LateProgressTests
{
    private readonly StringBuilder _error = new();
    private readonly HandTurnedTimer _time = new();

    [Fact]
    public void What_is_done_within_two_seconds_is_not_spoken_of()
    {
        using (LateProgress progress = new(Context(isTerminal: false), "looking")) progress.Report(Of(3));
        _time.Fire();
        Assert.Equal("", _error.ToString());
        Assert.Equal(LateProgress.Patience, _time.Due);
    }

    [Fact]
    public void Without_a_terminal_a_line_says_how_far_it_has_come_and_none_is_said_twice()
    {
        using LateProgress progress = new(Context(isTerminal: false), "looking");
        _time.Fire();
        progress.Report(Of(3));
        progress.Report(Of(4));
        _time.Fire();
        _time.Fire();
        Assert.Equal(["looking …", "simulating combinations, 4 of 9: zb-v, 8 × 1 samples …", ""], _error.ToString().Split(Environment.NewLine));
        Assert.DoesNotContain('\u001b', _error.ToString());
    }

    [Fact]
    public void On_a_terminal_one_line_is_rewritten_within_the_window_and_gone_at_the_end()
    {
        using (LateProgress progress = new(Context(isTerminal: true), "looking", () => 30))
        {
            _time.Fire();
            progress.Report(Of(4));
            _time.Fire();
        }

        Assert.Equal("\r\u001b[Klooking\r\u001b[Ksimulating combinations, 4 of\r\u001b[K", _error.ToString());
    }

    private static PlanProgress Of(int done) => new(PlanPhase.Simulating, done, 9, "zb-v, 8 × 1 samples");

    private CommandContext Context(bool isTerminal) => new() { Output = TextWriter.Null, Error = new StringWriter(_error), Variables = new Dictionary<string, string>(), IsErrorTerminal = isTerminal, Time = _time };

    /// <summary>A clock whose timer fires by hand.</summary>
    private sealed class HandTurnedTimer : TimeProvider
    {
        private Action? _fire;

        public TimeSpan Due { get; private set; }

        public void Fire() => _fire!();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            (_fire, Due) = (() => callback(state), dueTime);
            return new Nothing();
        }

        private sealed class Nothing : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => true;

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => ValueTask.CompletedTask;
        }
    }
}
