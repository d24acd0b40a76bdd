using System.Diagnostics;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using static Pipeline.Protocol.NeighbourProtocol;

namespace Pipeline.Stages;

/// <summary>
/// Everything that other threads leave for one compute thread: tensors, notes of other stages, orders. Filled by the stage's actor,
/// emptied by the compute thread, which waits here and nowhere else; links leave here what they have worked on themselves. Inputs are found by key, so any order of arrival works, whatever
/// generation they were sent in: an input of a step is the same bits in all of them. Owns the tensors that lie in it; what repeats an
/// input or belongs to a finished phase is freed unread.
/// </summary>
/// <param name="flight">Keeps what came; null for nobody.</param>
/// <param name="awaited">What may come from elsewhere; null where nothing is known of it.</param>
/// <param name="strays">Told of what is refused; null for nobody.</param>
/// <param name="kept">What the rank keeps for others, which bounds how far it goes by itself; null for nothing.</param>
internal sealed partial class StageInbox(FlightRecorder? flight = null, AwaitedInputs? awaited = null, StrayInputs? strays = null, KeptVolume? kept = null)
{
    private readonly object _gate = new();
    private readonly FlightRecorder _flight = flight ?? new FlightRecorder();
    private readonly StrayInputs _strays = strays ?? StrayInputs.Unheard;
    private AwaitedInputs? _judge = awaited;
    private readonly Dictionary<FrameKey, Arrived<TensorArrival>> _tensors = [];
    private readonly Dictionary<(StepKey Step, int Stage), Arrived<SquaredNorms>> _squares = [];
    private readonly Dictionary<StepKey, Arrived<StepTotals>> _totals = [];
    private readonly HashSet<FrameKey> _taken = [];
    private readonly HashSet<StepKey> _abandoned = [];
    private long _finishedPhase = -1;
    private bool _isClosed;
    private bool _finishesSaves;
    private FlightSubject? _awaited;
    // One on its way, one that has arrived and may be wanted by another holder.
    private int _freeCopyCount = 2;

    /// <summary>Tensors that wait to be taken.</summary>
    internal int TensorCount
    {
        get
        {
            lock (_gate) return _tensors.Count;
        }
    }

    /// <summary>What the compute thread waits for; null while it computes.</summary>
    internal FlightSubject? Awaited
    {
        get
        {
            lock (_gate) return _awaited;
        }
    }

    /// <summary>What is finished before the first phase: everything that led to the state that the rank starts from.</summary>
    internal void StartAfter(long step, bool evaluates)
    {
        lock (_gate)
        {
            (_finishedPhase, _begunStep) = (evaluates ? StepPhase(step) : EvaluationPhase(step), step);
            _orders.StartAfter(step);
        }
    }

    internal void Post(TensorArrival arrival)
    {
        var key = arrival.Key.In(Generation.None);
        lock (_gate)
        {
            if (arrival.IsForeign && _judge?.FaultOf(key) is { } fault)
            {
                _strays.Refuse(fault);
                arrival.Refuse();
                return;
            }

            var isWanted = !_isClosed && PhaseOf(key) > _finishedPhase && !_taken.Contains(key) && !IsAbandoned(key);
            var inPlace = _prompt.GetValueOrDefault(key) is { IsInUse: true } prompt ? prompt : null;
            if (isWanted && inPlace?.TryKeep(arrival) == true) return;
            if (!isWanted || inPlace is not null || !_tensors.TryAdd(key, Now(arrival)))
            {
                arrival.Refuse();
                return;
            }

            _flight.Arrived(FlightSubject.Of(key));
            Wake();
        }
    }

    internal void Post(INote stamped)
    {
        var note = stamped.In(Generation.None);
        lock (_gate)
        {
            if (StepPhase(note.Step.Step) <= _finishedPhase) return;
            if (_judge?.FaultOf(note) is { } fault)
            {
                _strays.Refuse(fault);
                return;
            }

            var isNew = note switch
            {
                SquaredNorms squares => _squares.TryAdd((squares.Step, squares.Stage), Now(squares)),
                StepTotals totals => _totals.TryAdd(totals.Step, Now(totals)),
                _ => throw new UnreachableException($"note {note.GetType().Name}"),
            };
            if (!isNew) return;
            _flight.Arrived(FlightSubject.Of(note));
            Wake();
        }
    }

    /// <summary>Wakes the compute thread for good: every wait ends with <see cref="StageClosedException"/>.</summary>
    /// <param name="finishesSaves">
    /// Whether a save that was ordered after the step under way is still done, as long as that needs no further input: when a run fails, the
    /// ranks that are a little behind the failed one complete the checkpoint that the others have written already.
    /// </param>
    internal void Close(bool finishesSaves = false)
    {
        lock (_gate)
        {
            (_isClosed, _finishesSaves) = (true, finishesSaves);
            Wake();
        }
    }

    /// <summary>Frees what was never taken. After <see cref="Close"/>.</summary>
    internal void Clear()
    {
        lock (_gate)
        {
            foreach (var tensor in _tensors.Values) tensor.Value.Refuse();
            foreach (var prompt in _prompt.Values) prompt.TakeSecond()?.Refuse();
            _tensors.Clear();
        }
    }

    /// <summary>Waits until a copy of the state may be taken: their memory is bounded.</summary>
    internal void TakeCopyPlace()
    {
        lock (_gate)
        {
            while (_freeCopyCount == 0)
            {
                ThrowIfClosed();
                Wait(FlightSubject.CopyPlace);
            }

            _flight.Goes();
            _freeCopyCount--;
        }
    }

    internal void ReturnCopyPlace()
    {
        lock (_gate)
        {
            _freeCopyCount++;
            Wake();
        }
    }

    internal Arrived<TensorArrival> TakeTensor(FrameKey key)
    {
        lock (_gate)
        {
            var arrived = TakeFrom(_tensors, key, FlightSubject.Of(key));
            _taken.Add(key);
            _flight.Trace.Received(arrived.Value.Span);
            return arrived;
        }
    }

    /// <summary>A tensor that has come; null if it has not.</summary>
    internal Arrived<TensorArrival>? TryTakeTensor(FrameKey key)
    {
        lock (_gate)
        {
            ThrowIfClosed();
            return _tensors.ContainsKey(key) ? TakeTensor(key) : null;
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
                if (awaited is { } totals && Holds(totals))
                {
                    _flight.Goes();
                    return null;
                }

                Wait(FlightSubject.Of(key));
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
        lock (_gate) return TakeFrom(_squares, (step, stage), FlightSubject.Squares(step, stage));
    }

    internal Arrived<StepTotals> TakeTotals(StepKey step)
    {
        lock (_gate) return TakeFrom(_totals, step, FlightSubject.Totals(step));
    }

    /// <summary>Throws unless a wait may go on: lets a long action end early.</summary>
    internal void ThrowIfClosed()
    {
        lock (_gate)
        {
            if (_isClosed && !(_finishesSaves && _orders.HasSave(_begunStep))) throw new StageClosedException();
        }
    }

    /// <summary>The rank has its units: from now on notes are held against them, also those that have come.</summary>
    internal void Know(RankPlan plan)
    {
        lock (_gate)
        {
            if (_judge is null) return;
            _judge = _judge.With(plan);
            foreach (var (key, squares) in _squares.ToArray())
            {
                if (_judge.FaultOf(squares.Value) is not { } fault) continue;
                _strays.Refuse(fault);
                _squares.Remove(key);
            }
        }
    }

    /// <summary>What was taken is not what it should be: another one may come in its place.</summary>
    internal void Refuse(FrameKey key, string fault)
    {
        lock (_gate) _taken.Remove(key);
        _strays.Refuse(fault);
    }

    /// <summary>
    /// Ends a step or an evaluation: nothing of it may be left, and what still comes of it is freed unread. What another process has sent for nothing is freed
    /// and said.
    /// </summary>
    /// <exception cref="InvalidOperationException">A tensor of the phase was never taken.</exception>
    internal void FinishPhase(long phase)
    {
        lock (_gate)
        {
            _finishedPhase = phase;
            _taken.RemoveWhere(key => PhaseOf(key) <= phase);
            ForgetPrompt(phase);
            _abandoned.RemoveWhere(attempt => StepPhase(attempt.Step) <= phase);
            foreach (var late in _squares.Keys.Where(key => 2 * key.Step.Step <= phase).ToArray()) _squares.Remove(late);
            foreach (var late in _totals.Keys.Where(key => 2 * key.Step <= phase).ToArray()) _totals.Remove(late);
            FrameKey[] left = [.. _tensors.Keys.Where(key => PhaseOf(key) <= phase)];
            foreach (var key in left.Where(key => _tensors[key].Value.IsForeign))
            {
                _tensors.Remove(key, out var stray);
                stray.Value.Refuse();
                _strays.Refuse($"{key} was never taken");
            }

            left = [.. left.Where(_tensors.ContainsKey)];
            if (left.Length > 0) throw new InvalidOperationException($"{left.Length} inputs were never taken, among them {left[0]}.");
        }
    }

    /// <summary>Phases in their order: each step, and the evaluation after it.</summary>
    internal static long StepPhase(long step) => 2 * step;

    /// <inheritdoc cref="StepPhase"/>
    internal static long EvaluationPhase(long afterStep) => 2 * afterStep + 1;

    /// <summary>The phase that a tensor belongs to.</summary>
    internal static long PhaseOf(FrameKey key) => key.Kind == FrameKind.EvaluationActivation
        ? EvaluationPhase(key.Step.Step)
        : StepPhase(key.Step.Step);

    // An evaluation after a step belongs to none of its attempts.
    private bool IsAbandoned(FrameKey key) => key.Kind != FrameKind.EvaluationActivation && _abandoned.Contains(key.Step);

    private bool Holds(AwaitedTotals awaited) => awaited.StageCount is { } count
        ? Enumerable.Range(0, count).All(stage => _squares.ContainsKey((awaited.Step, stage)))
        : _totals.ContainsKey(awaited.Step);
}
