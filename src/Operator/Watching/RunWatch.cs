using System.Threading.Channels;
using Pipeline.Coordinator;
using Pipeline.Runs;

namespace Pipeline.Operator;

/// <summary>
/// Remembers of a run what commands and pages ask for: the newest steps whole, all steps in a few numbers, evaluations, what happened. An
/// observer of the run; it reads what was recorded before it began. Safe for many threads.
/// </summary>
public sealed class RunWatch : IRunObserver
{
    private const int RecentCount = 512;
    private const int HappeningCount = 2048;
    private const int FormerCallCount = 1024;
    private const int TracedCount = 8;
    private readonly Lock _gate = new();
    private readonly List<StepPoint> _points = [];
    private readonly List<EvaluationMetrics> _evaluations = [];
    private readonly Queue<StepSummary> _recent = [];
    private readonly Queue<StepSummary> _traced = [];
    private readonly Queue<Happening> _happenings = [];
    private readonly List<Channel<RunNotice>> _listeners = [];
    private readonly TimeProvider _time;
    private long _lastStepAt;

    /// <param name="time">Clock of what happens.</param>
    /// <param name="files">What was recorded so far; null for nothing.</param>
    /// <param name="throughStep">Lines after this step will be written again, and are passed over.</param>
    public RunWatch(TimeProvider time, RunFiles? files = null, long throughStep = long.MaxValue)
    {
        _time = time;
        if (files is null || !File.Exists(files.Metrics)) return;
        foreach (var line in MetricsReader.Read(files.Metrics).Where(line => line.Step <= throughStep))
        {
            if (line is StepMetrics step) _points.Add(new StepPoint(step.Step, step.Loss, step.GradientNorm, step.LearningRate, step.Tokens, step.Seconds, step.Bubble));
            else if (line is EvaluationMetrics evaluation) _evaluations.Add(evaluation);
        }

        if (!File.Exists(files.Events)) return;
        Queue<string> calls = [];
        foreach (var line in EventLog.Read(files.Events))
        {
            Keep(_happenings, Happening.Of(line), HappeningCount);
            if (line.Name is "command-done" or "command-refused" && line.Fields.GetValueOrDefault("id") is { Length: > 0 } id && !calls.Contains(id)) Keep(calls, id, FormerCallCount);
        }

        FormerCalls = [.. calls];
    }

    /// <summary>Calls that were carried out, or refused, before this process watched the run, the newest last.</summary>
    internal IReadOnlyList<string> FormerCalls { get; } = [];

    /// <summary>The clock of what happens.</summary>
    internal TimeProvider Time => _time;

    /// <summary>How the run ended; null while it goes on.</summary>
    public RunOutcome? Outcome { get; private set; }

    /// <summary>The newest committed step; null before the first of this process.</summary>
    public StepSummary? Last
    {
        get
        {
            lock (_gate) return _recent.LastOrDefault();
        }
    }

    /// <summary>How long ago the newest step of this process was committed; null before the first.</summary>
    internal TimeSpan? SinceLastStep
    {
        get
        {
            lock (_gate) return _recent.Count == 0 ? null : _time.GetElapsedTime(_lastStepAt);
        }
    }

    /// <summary>The newest steps, oldest first, at most so many.</summary>
    public IReadOnlyList<StepSummary> Recent(int count)
    {
        lock (_gate) return [.. _recent.TakeLast(count)];
    }

    /// <summary>All steps after one, oldest first.</summary>
    public IReadOnlyList<StepPoint> Points(long afterStep = 0)
    {
        lock (_gate)
        {
            var low = 0;
            for (var high = _points.Count; low < high;)
            {
                var middle = (low + high) / 2;
                if (_points[middle].Step <= afterStep) low = middle + 1;
                else high = middle;
            }

            return _points[low..];
        }
    }

    /// <summary>All evaluations, oldest first.</summary>
    public IReadOnlyList<EvaluationMetrics> Evaluations
    {
        get
        {
            lock (_gate) return [.. _evaluations];
        }
    }

    /// <summary>What happened beside steps, oldest first.</summary>
    public IReadOnlyList<Happening> Happenings
    {
        get
        {
            lock (_gate) return [.. _happenings];
        }
    }

    /// <summary>The newest steps whose actions were recorded, oldest first.</summary>
    public IReadOnlyList<StepSummary> Traced
    {
        get
        {
            lock (_gate) return [.. _traced];
        }
    }

    /// <inheritdoc/>
    public void OnNotice(RunNotice notice)
    {
        lock (_gate)
        {
            Enter(notice);
            foreach (var listener in _listeners) listener.Writer.TryWrite(notice);
        }
    }

    /// <summary>What happens from now on; a listener that does not keep up loses the oldest.</summary>
    public Listening Listen()
    {
        var channel = Channel.CreateBounded<RunNotice>(new BoundedChannelOptions(1024) { FullMode = BoundedChannelFullMode.DropOldest });
        lock (_gate) _listeners.Add(channel);
        return new Listening(channel.Reader, () =>
        {
            lock (_gate) _listeners.Remove(channel);
        });
    }

    private void Enter(RunNotice notice)
    {
        switch (notice)
        {
            case RunNotice.StepCommitted { Step: var step }:
                _lastStepAt = _time.GetTimestamp();
                _points.Add(new StepPoint(step.Step, step.Loss, step.GradientNorm, step.LearningRate, step.TokenCount, step.Seconds, step.Bubble));
                if (step.Ranks.Any(rank => rank.Spans.Count > 0)) Keep(_traced, step, TracedCount);
                Keep(_recent, step with { Digests = [], Ranks = [.. step.Ranks.Select(rank => rank with { Spans = [] })] }, RecentCount);
                break;
            case RunNotice.Evaluated evaluated:
                _evaluations.Add(new EvaluationMetrics(evaluated.AfterStep, evaluated.Loss, null));
                break;
            case RunNotice.Ended ended:
                Outcome = ended.Outcome;
                break;
        }

        if (Happening.Of(notice, _time.GetUtcNow(), _points.Count > 0 ? _points[^1].Step : 0) is { } happening) Keep(_happenings, happening, HappeningCount);
    }

    private static void Keep<T>(Queue<T> queue, T item, int count)
    {
        queue.Enqueue(item);
        if (queue.Count > count) queue.Dequeue();
    }

    /// <summary>A way to hear what happens, until it is disposed.</summary>
    /// <param name="reader">The notices.</param>
    /// <param name="end">Ends the listening.</param>
    public sealed class Listening(ChannelReader<RunNotice> reader, Action end) : IDisposable
    {
        /// <summary>The notices.</summary>
        public ChannelReader<RunNotice> Reader => reader;

        /// <inheritdoc/>
        public void Dispose() => end();
    }
}

/// <summary>A committed step in a few numbers.</summary>
public readonly record struct StepPoint(long Step, double Loss, double GradientNorm, double LearningRate, long Tokens, double Seconds, double Bubble)
{
    /// <summary>Tokens a second.</summary>
    public double TokensPerSecond => Seconds > 0 ? Tokens / Seconds : 0;
}
