using System.Diagnostics;
using System.Runtime.ExceptionServices;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;

namespace Pipeline.Stages;

/// <summary>
/// Inputs that are worked on as they come, by the thread of the link that brings them: while they are in that processor's cache, and while the compute
/// thread does something else. What came before it was asked for, or in another way, lies here as any other input does.
/// </summary>
internal sealed partial class StageInbox
{
    private readonly Dictionary<FrameKey, Func<ReceivedTensor, bool>> _prompt = [];
    private readonly Dictionary<FrameKey, Worked> _worked = [];
    private HashSet<FrameKey>? _awaitedWork;

    /// <summary>Has an input worked on when it comes, unless it has come.</summary>
    /// <param name="key">Which; belongs to no finished phase.</param>
    /// <param name="work">Works on it, once at most, on any thread; false where it cannot, and has done nothing. The tensor stays the inbox's.</param>
    internal void WorkOn(FrameKey key, Func<ReceivedTensor, bool> work)
    {
        lock (_gate)
        {
            if (!_taken.Contains(key) && !_tensors.ContainsKey(key)) _prompt[key] = work;
        }
    }

    /// <summary>Whether an input has come, be it taken, worked on, or neither.</summary>
    internal bool HasCome(FrameKey key)
    {
        lock (_gate) return _taken.Contains(key) || _tensors.ContainsKey(key);
    }

    /// <summary>Works on an input where that was asked for, on the calling thread, and frees it. False where not: it is the caller's still.</summary>
    internal bool TryWork(ReceivedTensor arrival)
    {
        var key = arrival.Key.In(Generation.None);
        Func<ReceivedTensor, bool>? work;
        lock (_gate)
        {
            if (_isClosed || PhaseOf(key) <= _finishedPhase || _tensors.ContainsKey(key) || IsAbandoned(key) || !_prompt.Remove(key, out work) || !_taken.Add(key)) return false;
            _flight.Arrived(FlightSubject.Of(key));
        }

        ExceptionDispatchInfo? fault = null;
        try
        {
            if (!work(arrival)) return PutBack(key);
        }
#pragma warning disable CA1031 // It is the compute thread's to report, as if it had worked on the input itself.
        catch (Exception caught)
#pragma warning restore CA1031
        {
            fault = ExceptionDispatchInfo.Capture(caught);
        }

        arrival.Refuse();
        lock (_gate)
        {
            _worked[key] = new Worked(Stopwatch.GetTimestamp(), arrival.Span, fault);
            // A compute thread that is woken for nothing takes a processor from whoever works on the next input. One that awaits something else finds this later.
            if (_awaitedWork is { } awaited && ((awaited.Remove(key) && awaited.Count == 0) || fault is not null)) Wake();
        }

        return true;
    }

    /// <summary>An input, or, without one, when it was worked on; null where neither is so yet.</summary>
    internal Arrived<TensorArrival?>? TryTakeUnlessWorked(FrameKey key)
    {
        lock (_gate)
        {
            ThrowIfClosed();
            if (_worked.Remove(key, out var worked))
            {
                _flight.Trace.Received(worked.Span);
                worked.Fault?.Throw();
                return new Arrived<TensorArrival?>(null, worked.Timestamp);
            }

            if (!_tensors.ContainsKey(key)) return null;
            var arrived = TakeTensor(key);
            return new Arrived<TensorArrival?>(arrived.Value, arrived.Timestamp);
        }
    }

    /// <summary>Waits until one of some inputs can be taken, or all of them were worked on.</summary>
    internal void AwaitAny(IReadOnlyCollection<FrameKey> keys)
    {
        lock (_gate)
        {
            try
            {
                while (true)
                {
                    ThrowIfClosed();
                    _awaitedWork = [.. keys.Where(key => !_worked.ContainsKey(key))];
                    if (_awaitedWork.Count == 0 || keys.Any(key => _tensors.ContainsKey(key) || (_worked.TryGetValue(key, out var worked) && worked.Fault is not null))) break;
                    Wait(FlightSubject.Of(_awaitedWork.First()));
                }
            }
            finally
            {
                _awaitedWork = null;
            }

            _flight.Goes();
        }
    }

    private bool PutBack(FrameKey key)
    {
        lock (_gate) _taken.Remove(key);
        return false;
    }

    /// <summary>Nothing of a finished phase is worked on.</summary>
    private void ForgetPrompt(long phase)
    {
        foreach (var key in _prompt.Keys.Where(key => PhaseOf(key) <= phase).ToArray()) _prompt.Remove(key);
        foreach (var key in _worked.Keys.Where(key => PhaseOf(key) <= phase).ToArray()) _worked.Remove(key);
    }

    /// <summary>What became of an input.</summary>
    /// <param name="Timestamp">When the work was done.</param>
    /// <param name="Span">The span that the input was sent from; 0 for none.</param>
    /// <param name="Fault">What the work threw; null where it did not.</param>
    private readonly record struct Worked(long Timestamp, ulong Span, ExceptionDispatchInfo? Fault);
}
