using System.Diagnostics;
using Pipeline.Protocol;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>
/// Measures a rank's steps: the time from one step's end to the next without evaluation and saving, how much of it was spent in
/// actions and in waiting for inputs, and, when wanted, every action's span.
/// </summary>
internal sealed class StepRecorder(FlightRecorder flight)
{
    private readonly List<ExecutedSpan> _spans = [];
    private long _mark = Stopwatch.GetTimestamp();
    private long _busyTicks;
    private long _waitTicks;
    private long _exposedTicks;
    private long _exchangedBytes;
    private long _lastEnded;
    private int _discardedCount;
    private int _recordedCount;
    private bool _wantsSpans;

    internal static double Seconds(long ticks) => (double)ticks / Stopwatch.Frequency;

    internal void BeginStep(bool wantsSpans)
    {
        _wantsSpans = wantsSpans;
        _busyTicks = 0;
        _waitTicks = 0;
        _exposedTicks = 0;
        _exchangedBytes = 0;
        _discardedCount = 0;
        _recordedCount = 0;
        _spans.Clear();
    }

    /// <summary>Forgets what was recorded of a step's attempt that is given up: its time was not work.</summary>
    internal void Discard()
    {
        _discardedCount += _recordedCount;
        _recordedCount = 0;
        _busyTicks = 0;
        _waitTicks = 0;
        _spans.Clear();
    }

    /// <summary>An action of the list begins.</summary>
    internal void Began(StageAction action, long step) => flight.Began(action, step);

    /// <summary>Records one action.</summary>
    /// <param name="action">Action.</param>
    /// <param name="asked">When the thread was free to run it.</param>
    /// <param name="ready">When its last input came; 0 if it needs none.</param>
    /// <param name="started">When it started.</param>
    internal void Record(StageAction action, long asked, long ready, long started)
    {
        var ended = Stopwatch.GetTimestamp();
        _busyTicks += ended - started;
        // What ran while an action waited, such as settling the former step, was recorded by itself.
        var waited = Math.Max(0, started - Math.Max(asked, _lastEnded));
        _waitTicks += waited;
        if (action.Kind is ActionKind.ReduceScatter or ActionKind.AllGather or ActionKind.WeightGather) _exposedTicks += waited;
        _lastEnded = ended;
        _recordedCount++;
        flight.Ended(action);
        // An input that came while the thread was busy was not waited for.
        if (_wantsSpans) _spans.Add(new ExecutedSpan(action.ToString(), ready > asked ? Wire(ready) : 0, Wire(started), Wire(ended)));
    }

    /// <summary>Counts what is sent to another replica. Any thread.</summary>
    internal void Exchanged(long byteCount) => Interlocked.Add(ref _exchangedBytes, byteCount);

    /// <summary>Leaves the time from a timestamp to now out of the step's time, also where an action waits meanwhile: what settles a step hashes its state.</summary>
    internal void Exclude(long since)
    {
        var now = Stopwatch.GetTimestamp();
        _mark += now - since;
        _lastEnded = now;
    }

    /// <summary>Starts the clock anew: before the first step.</summary>
    internal void Restart() => _mark = Stopwatch.GetTimestamp();

    internal StepTiming EndStep()
    {
        var now = Stopwatch.GetTimestamp();
        var timing = new StepTiming(Seconds(now - _mark), Seconds(_busyTicks), Seconds(_waitTicks), _discardedCount, Seconds(_exposedTicks), _exchangedBytes);
        _mark = now;
        return timing;
    }

    internal IReadOnlyList<ExecutedSpan> Spans() => _wantsSpans ? [.. _spans] : [];

    private static long Wire(long ticks) => (long)(ticks * (10_000_000.0 / Stopwatch.Frequency));
}
