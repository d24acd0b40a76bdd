using System.Diagnostics;
using System.Globalization;
using Pipeline.Protocol;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>
/// A rank's steps as spans for whoever listens in its process (<see cref="ActivitySource"/>): one for the rank's part of a step, and below it one for each
/// action, linked to the actions of other ranks that its inputs came from. A rank's part follows from the action that sent its first input, whatever
/// process that lies in. Nothing is made, and nothing read but a flag, where nobody listens. On the compute thread only; what another thread sends follows from no span.
/// </summary>
internal sealed class StepTrace
{
    private static readonly ActivitySource Source = new(StepTraces.RankSource);
    private readonly List<(ulong Span, DateTimeOffset Time)> _received = [];
    private int _rank;
    private int _thread;
    private StepKey _step;
    private DateTimeOffset _begun;
    private DateTimeOffset _since;
    private StageAction? _action;
    private Activity? _part;
    private Activity? _current;

    /// <summary>A step begins, or begins anew: what there is of the former attempt was for nothing.</summary>
    internal void Begin(int rank, StepKey step)
    {
        Abandon();
        _thread = Environment.CurrentManagedThreadId;
        if (!Source.HasListeners()) return;
        (_rank, _step, _begun) = (rank, step, DateTimeOffset.UtcNow);
    }

    /// <summary>An action of the list begins; it may have to wait for its input.</summary>
    internal void Began(StageAction action)
    {
        if (_begun == default) return;
        (_action, _since) = (action, DateTimeOffset.UtcNow);
    }

    /// <summary>The action under way has taken an input that was sent from a span; 0 where nobody traced it.</summary>
    internal void Received(ulong span)
    {
        if (_action is not null) _received.Add((span, DateTimeOffset.UtcNow));
    }

    /// <summary>The action under way has taken an input of a step. One of a step that was left open belongs to a part that is over, and is in nobody's span.</summary>
    internal void Received(StepKey step, ulong span)
    {
        if (step.Step == _step.Step) Received(span);
    }

    /// <summary>The span that something of a step is sent from; 0 for none, also where the rank is at a later step already.</summary>
    internal ulong Origin(StepKey step) => step.Step == _step.Step ? Origin() : 0;

    /// <summary>The span that something is sent from; 0 for none.</summary>
    internal ulong Origin() => _thread == Environment.CurrentManagedThreadId && _action is not null && Current() is { } span ? StepTraces.NumberOf(span.SpanId) : 0;

    /// <summary>The action under way has ended.</summary>
    internal void Ended()
    {
        if (_action is null) return;
        if (Current() is { } span)
        {
            foreach (var (sender, time) in _received)
            {
                if (sender != 0) span.AddLink(new ActivityLink(StepTraces.ContextOf(_step.Run, _step.Step, sender)));
                span.AddEvent(new ActivityEvent("input", time));
            }

            span.Stop();
        }

        _received.Clear();
        (_action, _current) = (null, null);
    }

    /// <summary>The rank's part of the step is done.</summary>
    /// <returns>Its span; 0 for none.</returns>
    internal ulong End()
    {
        var span = _part is { } part ? StepTraces.NumberOf(part.SpanId) : 0;
        _part?.Stop();
        (_part, _begun) = (null, default);
        return span;
    }

    /// <summary>Whatever is open ends without having come to anything.</summary>
    internal void Abandon()
    {
        _current?.SetStatus(ActivityStatusCode.Error, "given up").Stop();
        _part?.SetStatus(ActivityStatusCode.Error, "given up").Stop();
        _received.Clear();
        (_action, _current, _part, _begun) = (null, null, null, default);
    }

    /// <summary>The action's span, made when it is first needed: by then its first input has said what the rank's part follows from.</summary>
    private Activity? Current()
    {
        if (_part is null)
        {
            Activity.Current = null;
            _part = Source.StartActivity("rank", ActivityKind.Internal, StepTraces.ContextOf(_step.Run, _step.Step, _received.FirstOrDefault().Span),
                [new("pipeline.run", _step.Run.ToString()), new("pipeline.step", _step.Step), new("pipeline.rank", _rank)], startTime: _begun);
        }

        return _current ??= _part is null || _action is not { } action ? null : Source.StartActivity(action.Kind.Term(), ActivityKind.Internal, _part.Context,
            [new("pipeline.action", action.ToString()), new("pipeline.stage", action.Stage), new("pipeline.micro_batch", action.Kind.IsStepLevel() ? null : action.MicroBatch.ToString(CultureInfo.InvariantCulture))],
            startTime: _since);
    }
}
