using System.Diagnostics;
using System.Runtime.ExceptionServices;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// Inputs that are worked on as they come, by the thread of the link that brings them: while they are in that processor's cache, and while the compute
/// thread does something else. Some have a place where they may be received at once. What came before it was asked for, or in another way, lies here as any other input does.
/// </summary>
internal sealed partial class StageInbox
{
    private readonly Dictionary<FrameKey, Prompt> _prompt = [];
    private readonly Dictionary<FrameKey, Worked> _worked = [];
    private HashSet<FrameKey>? _awaitedWork;

    /// <summary>Has an input worked on when it comes, unless it has come.</summary>
    /// <param name="key">Which; belongs to no finished phase.</param>
    /// <param name="work">Works on it, once at most, on any thread; false where it cannot, and has done nothing. The tensor stays the inbox's.</param>
    /// <param name="place">The memory where it may be received, at the time of asking, on any thread; null where that may not be, or for never. The tensor is who asks'.</param>
    internal void WorkOn(FrameKey key, Func<ReceivedTensor, bool> work, Func<torch.Tensor?>? place = null)
    {
        lock (_gate)
        {
            if (!_taken.Contains(key) && !_tensors.ContainsKey(key)) _prompt[key] = new Prompt(work, place);
        }
    }

    /// <summary>
    /// Where an input is to be received that is about to come; null for anywhere. It is one receiver's until that has the input worked on or returns it. What comes of the same input
    /// meanwhile is not looked at: whoever took it could be done with the place while it is still written.
    /// </summary>
    internal torch.Tensor? TakePlace(FrameKey stamped)
    {
        var key = stamped.In(Generation.None);
        Prompt? prompt;
        lock (_gate)
        {
            if (!IsPromptWanted(key) || !_prompt.TryGetValue(key, out prompt) || prompt.Place is null || prompt.IsInUse) return null;
            prompt.IsInUse = true;
        }

        torch.Tensor? place = null;
        try
        {
            return place = prompt.Place();
        }
        finally
        {
            if (place is null) ReturnPlace(key);
        }
    }

    /// <summary>Nothing is received in an input's place any more; what has come of it otherwise lies there now.</summary>
    internal void ReturnPlace(FrameKey stamped)
    {
        var key = stamped.In(Generation.None);
        lock (_gate)
        {
            if (!_prompt.TryGetValue(key, out var prompt)) return;
            prompt.IsInUse = false;
            if (prompt.TakeSecond() is not { } second) return;
            _tensors.Add(key, Now(second));
            Wake();
        }
    }

    /// <summary>Whether an input has come, be it taken, worked on, or neither.</summary>
    internal bool HasCome(FrameKey key)
    {
        lock (_gate) return _taken.Contains(key) || _tensors.ContainsKey(key);
    }

    /// <summary>Works on an input where that was asked for, on the calling thread, and frees it. False where not: it is the caller's still.</summary>
    /// <param name="arrival">The input.</param>
    /// <param name="isInPlace">Whether it was received where <see cref="TakePlace"/> said.</param>
    internal bool TryWork(ReceivedTensor arrival, bool isInPlace = false)
    {
        var key = arrival.Key.In(Generation.None);
        Prompt? prompt;
        lock (_gate)
        {
            if (!IsPromptWanted(key) || !_prompt.TryGetValue(key, out prompt) || prompt.IsInUse != isInPlace || !_taken.Add(key)) return false;
            _prompt.Remove(key);
            prompt.TakeSecond()?.Refuse();
            _flight.Arrived(FlightSubject.Of(key));
        }

        ExceptionDispatchInfo? fault = null;
        try
        {
            if (!prompt.Work(arrival)) return PutBack(key);
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

    private bool IsPromptWanted(FrameKey key) => !_isClosed && PhaseOf(key) > _finishedPhase && !_tensors.ContainsKey(key) && !IsAbandoned(key);

    private bool PutBack(FrameKey key)
    {
        lock (_gate) _taken.Remove(key);
        return false;
    }

    /// <summary>Nothing of a finished phase is worked on.</summary>
    private void ForgetPrompt(long phase)
    {
        foreach (var key in _prompt.Keys.Where(key => PhaseOf(key) <= phase).ToArray())
        {
            _prompt.Remove(key, out var prompt);
            prompt?.TakeSecond()?.Refuse();
        }

        foreach (var key in _worked.Keys.Where(key => PhaseOf(key) <= phase).ToArray()) _worked.Remove(key);
    }

    /// <summary>An input that is to be worked on as it comes.</summary>
    private sealed class Prompt(Func<ReceivedTensor, bool> work, Func<torch.Tensor?>? place)
    {
        private TensorArrival? _second;

        internal Func<ReceivedTensor, bool> Work { get; } = work;

        internal Func<torch.Tensor?>? Place { get; } = place;

        /// <summary>Whether the input is being received in its place.</summary>
        internal bool IsInUse { get; set; }

        /// <summary>Keeps what has come of the input while it is received in its place as well; false where there is one already.</summary>
        internal bool TryKeep(TensorArrival second)
        {
            if (_second is not null) return false;
            _second = second;
            return true;
        }

        internal TensorArrival? TakeSecond()
        {
            var second = _second;
            _second = null;
            return second;
        }
    }

    /// <summary>What became of an input.</summary>
    /// <param name="Timestamp">When the work was done.</param>
    /// <param name="Span">The span that the input was sent from; 0 for none.</param>
    /// <param name="Fault">What the work threw; null where it did not.</param>
    private readonly record struct Worked(long Timestamp, ulong Span, ExceptionDispatchInfo? Fault);
}
