using System.Diagnostics;

namespace Pipeline.Stages;

/// <summary>How the compute thread waits; under the inbox's lock.</summary>
internal sealed partial class StageInbox
{
    private static Arrived<T> Now<T>(T value) => new(value, Stopwatch.GetTimestamp());

    private StageOrder Go(StageOrder order)
    {
        _flight.Goes();
        return order;
    }

    private Arrived<T> TakeFrom<TKey, T>(Dictionary<TKey, Arrived<T>> box, TKey key, FlightSubject subject) where TKey : notnull
    {
        while (true)
        {
            ThrowIfClosed();
            if (box.Remove(key, out var arrived))
            {
                _flight.Goes();
                return arrived;
            }

            Wait(subject);
        }
    }

    /// <summary>The thread has something to look at; if it is not what it waits for, it waits on.</summary>
    private void Wake()
    {
        _awaited = null;
        Monitor.Pulse(_gate);
    }

    private void Wait(FlightSubject awaited)
    {
        if (_isClosed) throw new StageClosedException();
        _flight.Waits(awaited);
        _awaited = awaited;
        Monitor.Wait(_gate);
        _awaited = null;
    }

    /// <summary>An input and when it came, in ticks of the monotonic clock.</summary>
    internal readonly record struct Arrived<T>(T Value, long Timestamp);
}
