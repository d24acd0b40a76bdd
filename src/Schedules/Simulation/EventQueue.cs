namespace Pipeline.Schedules;

/// <summary>
/// Events by time, and by the order in which they were added where times are equal. A four-way heap over flat arrays: the
/// simulator of a large step handles tens of millions of events.
/// </summary>
internal sealed class EventQueue
{
    private const int Ways = 4;

    private double[] _times = new double[256];
    private long[] _orders = new long[256];
    private int[] _payloads = new int[256];
    private long _added;

    public int Count { get; private set; }

    public void Add(double time, int payload)
    {
        if (Count == _times.Length)
        {
            Array.Resize(ref _times, 2 * Count);
            Array.Resize(ref _orders, 2 * Count);
            Array.Resize(ref _payloads, 2 * Count);
        }

        var (hole, order) = (Count++, _added++);
        while (hole > 0 && (hole - 1) / Ways is var parent && IsBefore(time, order, parent))
        {
            Move(parent, hole);
            hole = parent;
        }

        Put(hole, time, order, payload);
    }

    /// <summary>Takes the first event; false where there is none.</summary>
    public bool TryTake(out double time, out int payload)
    {
        (time, payload) = (_times[0], _payloads[0]);
        if (Count == 0)
            return false;
        Count--;
        var (lastTime, lastOrder, lastPayload) = (_times[Count], _orders[Count], _payloads[Count]);
        var hole = 0;
        while (true)
        {
            var child = FirstChild(hole);
            if (child < 0 || IsBefore(lastTime, lastOrder, child))
                break;
            Move(child, hole);
            hole = child;
        }

        Put(hole, lastTime, lastOrder, lastPayload);
        return true;
    }

    // The child that comes first; -1 for a leaf.
    private int FirstChild(int parent)
    {
        var first = (parent * Ways) + 1;
        if (first >= Count)
            return -1;
        for (var child = first + 1; child < Math.Min(first + Ways, Count); child++)
            if (IsBefore(_times[child], _orders[child], first))
                first = child;
        return first;
    }

    private bool IsBefore(double time, long order, int other) => time < _times[other] || (time == _times[other] && order < _orders[other]);

    private void Move(int from, int to) => Put(to, _times[from], _orders[from], _payloads[from]);

    private void Put(int at, double time, long order, int payload)
    {
        _times[at] = time;
        _orders[at] = order;
        _payloads[at] = payload;
    }
}
