using System.Diagnostics;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using static Pipeline.Protocol.NeighbourProtocol;

namespace Pipeline.Stages;

/// <summary>
/// Everything that other threads leave for one compute thread: tensors, notes of other stages, commands. Filled by the stage's actor,
/// emptied by the compute thread, which waits here and nowhere else. Inputs are found by key, so any order of arrival works; commands
/// keep their order. Owns the tensors that lie in it; what repeats an input or belongs to a finished phase is freed unread.
/// </summary>
internal sealed class StageInbox
{
    private readonly object _gate = new();
    private readonly Dictionary<FrameKey, Arrived<TensorArrival>> _tensors = [];
    private readonly Dictionary<(StepKey Step, int Stage), Arrived<SquaredNorms>> _squares = [];
    private readonly Dictionary<StepKey, Arrived<StepTotals>> _totals = [];
    private readonly Queue<StageProtocol.ICommand> _commands = [];
    private readonly HashSet<FrameKey> _taken = [];
    private readonly HashSet<StepKey> _abandoned = [];
    private long _finishedPhase = -1;
    private bool _isClosed;
    private bool _isEndWanted;

    /// <summary>Tensors that wait to be taken.</summary>
    internal int TensorCount
    {
        get
        {
            lock (_gate) return _tensors.Count;
        }
    }

    internal void Post(TensorArrival arrival)
    {
        lock (_gate)
        {
            var isWanted = !_isClosed && PhaseOf(arrival.Key) > _finishedPhase && !_taken.Contains(arrival.Key) && !IsAbandoned(arrival.Key);
            if (!isWanted || !_tensors.TryAdd(arrival.Key, Now(arrival))) arrival.Refuse();
            else Monitor.Pulse(_gate);
        }
    }

    internal void Post(INote note)
    {
        lock (_gate)
        {
            var isNew = note switch
            {
                SquaredNorms squares => _squares.TryAdd((squares.Step, squares.Stage), Now(squares)),
                StepTotals totals => _totals.TryAdd(totals.Step, Now(totals)),
                _ => throw new UnreachableException($"note {note.GetType().Name}"),
            };
            if (isNew) Monitor.Pulse(_gate);
        }
    }

    internal void Post(StageProtocol.ICommand command)
    {
        lock (_gate)
        {
            _commands.Enqueue(command);
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Whether the step under way is to be the last.</summary>
    internal bool IsEndWanted
    {
        get
        {
            lock (_gate) return _isEndWanted;
        }
    }

    internal void WantEnd()
    {
        lock (_gate) _isEndWanted = true;
    }

    /// <summary>Wakes the compute thread for good: every wait ends with <see cref="StageClosedException"/>.</summary>
    internal void Close()
    {
        lock (_gate)
        {
            _isClosed = true;
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Frees what was never taken. After <see cref="Close"/>.</summary>
    internal void Clear()
    {
        lock (_gate)
        {
            foreach (var tensor in _tensors.Values) tensor.Value.Refuse();
            _tensors.Clear();
        }
    }

    /// <summary>Waits for a command, or, with a step whose totals are awaited, for whichever comes first: null means the totals.</summary>
    internal StageProtocol.ICommand? TakeCommand(AwaitedTotals? awaited)
    {
        lock (_gate)
        {
            while (true)
            {
                ThrowIfClosed();
                if (_commands.TryDequeue(out var command)) return command;
                if (awaited is { } totals && Holds(totals)) return null;
                Monitor.Wait(_gate);
            }
        }
    }

    internal Arrived<TensorArrival> TakeTensor(FrameKey key)
    {
        lock (_gate)
        {
            var arrived = TakeFrom(_tensors, key);
            _taken.Add(key);
            return arrived;
        }
    }

    /// <summary>Waits for a tensor, or, with a step whose totals are awaited, for whichever comes first: null means the totals.</summary>
    internal Arrived<TensorArrival>? TakeTensor(FrameKey key, AwaitedTotals? awaited)
    {
        lock (_gate)
        {
            while (true)
            {
                ThrowIfClosed();
                if (_tensors.ContainsKey(key)) return TakeTensor(key);
                if (awaited is { } totals && Holds(totals)) return null;
                Monitor.Wait(_gate);
            }
        }
    }

    /// <summary>Whether a step's totals are here, or everything that they are made of.</summary>
    internal bool HasTotals(AwaitedTotals awaited)
    {
        lock (_gate) return Holds(awaited);
    }

    /// <summary>Frees what has come, and what still comes, of an attempt at a step that is given up or was never to be.</summary>
    internal void Abandon(StepKey attempt)
    {
        lock (_gate)
        {
            _abandoned.Add(attempt);
            foreach (var key in _tensors.Keys.Where(IsAbandoned).ToArray())
            {
                _tensors.Remove(key, out var arrived);
                arrived.Value.Refuse();
            }
        }
    }

    internal Arrived<SquaredNorms> TakeSquares(StepKey step, int stage)
    {
        lock (_gate) return TakeFrom(_squares, (step, stage));
    }

    internal Arrived<StepTotals> TakeTotals(StepKey step)
    {
        lock (_gate) return TakeFrom(_totals, step);
    }

    /// <summary>Throws unless a wait may go on: lets a long action end early.</summary>
    internal void ThrowIfClosed()
    {
        lock (_gate)
        {
            if (_isClosed) throw new StageClosedException();
        }
    }

    /// <summary>Ends a step or an evaluation: nothing of it may be left, and what still comes of it is freed unread.</summary>
    /// <exception cref="InvalidOperationException">A tensor of the phase was never taken.</exception>
    internal void FinishPhase(long phase)
    {
        lock (_gate)
        {
            _finishedPhase = phase;
            _taken.RemoveWhere(key => PhaseOf(key) <= phase);
            _abandoned.RemoveWhere(attempt => StepPhase(attempt.Step) <= phase);
            foreach (var late in _squares.Keys.Where(key => 2 * key.Step.Step <= phase).ToArray()) _squares.Remove(late);
            foreach (var late in _totals.Keys.Where(key => 2 * key.Step <= phase).ToArray()) _totals.Remove(late);
            var left = _tensors.Keys.Where(key => PhaseOf(key) <= phase).ToArray();
            if (left.Length > 0) throw new InvalidOperationException($"{left.Length} inputs were never taken, among them {left[0]}.");
        }
    }

    /// <summary>Phases in their order: each step, and the evaluation after it.</summary>
    internal static long StepPhase(long step) => 2 * step;

    /// <inheritdoc cref="StepPhase"/>
    internal static long EvaluationPhase(long afterStep) => 2 * afterStep + 1;

    private static long PhaseOf(FrameKey key) => key.Kind == FrameKind.EvaluationActivation
        ? EvaluationPhase(key.Step.Step)
        : StepPhase(key.Step.Step);

    // An evaluation after a step belongs to none of its attempts.
    private bool IsAbandoned(FrameKey key) => key.Kind != FrameKind.EvaluationActivation && _abandoned.Contains(key.Step);

    private bool Holds(AwaitedTotals awaited) => awaited.StageCount is { } count
        ? Enumerable.Range(0, count).All(stage => _squares.ContainsKey((awaited.Step, stage)))
        : _totals.ContainsKey(awaited.Step);

    private static Arrived<T> Now<T>(T value) => new(value, Stopwatch.GetTimestamp());

    private Arrived<T> TakeFrom<TKey, T>(Dictionary<TKey, Arrived<T>> box, TKey key) where TKey : notnull
    {
        while (true)
        {
            ThrowIfClosed();
            if (box.Remove(key, out var arrived)) return arrived;
            Monitor.Wait(_gate);
        }
    }

    /// <summary>An input and when it came, in ticks of the monotonic clock.</summary>
    internal readonly record struct Arrived<T>(T Value, long Timestamp);
}

/// <summary>The totals of a step that a compute thread is to hear of while it waits for something else.</summary>
/// <param name="Step">Step.</param>
/// <param name="StageCount">On the rank that makes the totals the number of contributions; null where another rank sends them.</param>
internal readonly record struct AwaitedTotals(StepKey Step, int? StageCount);

/// <summary>The stage was told to stop while its compute thread waited or was between two actions: not a failure.</summary>
internal sealed class StageClosedException() : Exception("The stage was told to stop.");
