namespace Pipeline.Operator;

/// <summary>How often refusals are written down one by one: whoever hammers at a port must not fill the disk with the audit. Safe for many threads.</summary>
internal sealed class RefusalRate
{
    /// <summary>Lines in a row; afterwards one a second, which says how many it stands for.</summary>
    internal const int Burst = 32;

    private readonly Lock _gate = new();
    private double _room = Burst;
    private long _last;
    private long _unsaid;

    /// <summary>How many refusals were not written since the last that was; null where this one is only counted.</summary>
    internal long? Admit(TimeProvider time)
    {
        lock (_gate)
        {
            var now = time.GetTimestamp();
            if (_last != 0) _room = Math.Min(Burst, _room + time.GetElapsedTime(_last, now).TotalSeconds);
            _last = now;
            if (_room < 1)
            {
                _unsaid++;
                return null;
            }

            _room--;
            var unsaid = _unsaid;
            _unsaid = 0;
            return unsaid;
        }
    }
}
