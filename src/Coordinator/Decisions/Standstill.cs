namespace Pipeline.Coordinator;

/// <summary>What a rank that begins anew comes to before its first step.</summary>
internal enum Waypoint
{
    /// <summary>It takes inputs.</summary>
    Assigned,

    /// <summary>It has its state.</summary>
    Ready,
}

/// <summary>
/// Counts how often in a row everything was said again and nothing came of it. Only what was not reached before is a way on: a report that is repeated, as all
/// are when everything is said again, says nothing. Pure.
/// </summary>
/// <param name="repeatLimit">So often is everything said again before the run counts as lost.</param>
internal sealed class Standstill(int repeatLimit)
{
    private readonly Dictionary<(Waypoint Point, int Rank), long> _reached = [];
    private int _repeats;

    /// <summary>Something new was heard: a step, an evaluation, a copy, a checkpoint.</summary>
    internal void Moved() => _repeats = 0;

    /// <summary>A rank that starts after a step has come to a point; false if it, or one that starts later, was there before.</summary>
    internal bool Reach(Waypoint point, int rank, long startStep)
    {
        if (_reached.TryGetValue((point, rank), out var known) && known >= startStep) return false;
        _reached[(point, rank)] = startStep;
        _repeats = 0;
        return true;
    }

    /// <summary>A node is gone: what lay on it has to be reached once more.</summary>
    internal void Lose() => _reached.Clear();

    /// <summary>Nothing has moved; whether everything is to be said again.</summary>
    /// <param name="isSomebodyAtWork">Whether a rank computes, loads, or has copies transferred: that may take long, and nothing that could be said again is missing.</param>
    internal bool Repeats(bool isSomebodyAtWork) => isSomebodyAtWork || ++_repeats <= repeatLimit;
}
