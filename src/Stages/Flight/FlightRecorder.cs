using System.Diagnostics;
using Pipeline.Protocol;
using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>
/// The last actions, messages and waits of a rank, in a ring that is written in place: an entry costs a lock that nobody contends for and
/// no memory. It is put into words only when somebody asks, which happens after something went wrong. Safe for many threads.
/// </summary>
internal sealed class FlightRecorder
{
    /// <summary>Entries kept: some steps of a schedule of eight micro-batches.</summary>
    internal const int Capacity = 256;

    private readonly Lock _gate = new();
    private readonly Mark[] _marks = new Mark[Capacity];
    private long _count;
    private FlightSubject? _action;
    private FlightSubject? _awaited;
    private bool _isAwake = true;
    private long _stirred = Stopwatch.GetTimestamp();
    private long _completedStep;
    private string? _end;
    private RankMap _map = RankMap.Empty;

    /// <summary>The same as spans, for whoever listens.</summary>
    internal StepTrace Trace { get; } = new();

    /// <summary>Which rank sends what, once the rank knows its schedule.</summary>
    internal void Know(RankMap map)
    {
        lock (_gate) _map = map;
    }

    /// <summary>An action begins.</summary>
    internal void Began(StageAction action, long step)
    {
        lock (_gate)
        {
            _stirred = Stopwatch.GetTimestamp();
            var subject = FlightSubject.Of(action, step);
            _action = subject;
            Add(FlightKind.Began, subject);
        }
    }

    /// <summary>The action under way has ended.</summary>
    internal void Ended(StageAction action)
    {
        lock (_gate)
        {
            _stirred = Stopwatch.GetTimestamp();
            // A settlement is no action of the list; it ends without having begun.
            Add(FlightKind.Ended, FlightSubject.Of(action, _action?.Step ?? 0));
            if (_action is { } begun && begun.Action == action) _action = null;
        }
    }

    /// <summary>An input or an order has come.</summary>
    internal void Arrived(FlightSubject subject)
    {
        lock (_gate) Add(FlightKind.Arrived, subject);
    }

    /// <summary>Something goes to another rank.</summary>
    internal void Sent(FlightSubject subject, int to)
    {
        lock (_gate) Add(FlightKind.Sent, subject, to);
    }

    /// <summary>The compute thread waits; a wait that goes on after something else has come is still the same.</summary>
    internal void Waits(FlightSubject subject)
    {
        lock (_gate)
        {
            (_isAwake, _stirred) = (false, Stopwatch.GetTimestamp());
            if (_awaited == subject) return;
            _awaited = subject;
            Add(FlightKind.Waits, subject);
        }
    }

    /// <summary>The compute thread has what it waited for, if it did.</summary>
    internal void Goes()
    {
        lock (_gate)
        {
            (_isAwake, _stirred) = (true, Stopwatch.GetTimestamp());
            if (_awaited is not { } awaited) return;
            _awaited = null;
            Add(FlightKind.Has, awaited);
        }
    }

    /// <summary>The rank has completed a step.</summary>
    internal void Completed(long step)
    {
        lock (_gate) _completedStep = step;
    }

    /// <summary>The rank goes no further, and why.</summary>
    internal void Ends(string why)
    {
        lock (_gate) _end = why;
    }

    /// <summary>What the compute thread is at, in words, and for how long it has neither begun nor ended anything, nor waited.</summary>
    internal (string Doing, TimeSpan Still) Stillness
    {
        get
        {
            lock (_gate) return (_action is { } action ? $"computes {action}" : "is between two actions, or loads its state", _action is null ? TimeSpan.Zero : Stopwatch.GetElapsedTime(_stirred));
        }
    }

    /// <summary>What is recorded, in words.</summary>
    /// <param name="rank">Rank.</param>
    /// <param name="otherwise">What the rank is at where it neither computes nor waits.</param>
    internal RankFlight Report(int rank, string otherwise)
    {
        lock (_gate)
        {
            var now = Stopwatch.GetTimestamp();
            var waiting = _isAwake || _end is not null ? null : _awaited;
            var doing = _end is { } end ? $"has failed: {end}" : waiting is { } awaited ? $"waits for {_map.InWords(awaited)}" : _action is { } action ? $"computes {action}" : otherwise;
            var first = Math.Max(0, _count - Capacity);
            var entries = new FlightEntry[_count - first];
            for (var index = 0; index < entries.Length; index++)
            {
                var mark = _marks[(first + index) % Capacity];
                entries[index] = new FlightEntry((long)((now - mark.Ticks) * (10_000_000.0 / Stopwatch.Frequency)), mark.Kind, _map.InWords(mark.Subject), mark.Peer);
            }

            return new RankFlight(rank, _completedStep, doing, waiting is { } what ? _map.SenderOf(what) : -1, entries);
        }
    }

    private void Add(FlightKind kind, FlightSubject subject) => Add(kind, subject, kind is FlightKind.Began or FlightKind.Ended ? -1 : _map.SenderOf(subject));

    private void Add(FlightKind kind, FlightSubject subject, int peer) =>
        _marks[_count++ % Capacity] = new Mark(Stopwatch.GetTimestamp(), kind, subject, peer);

    private readonly record struct Mark(long Ticks, FlightKind Kind, FlightSubject Subject, int Peer);
}
