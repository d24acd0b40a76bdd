namespace Pipeline.Coordinator;

/// <summary>
/// How ranks that were granted many steps come to stand at one of the next: each is asked to begin no further step and says which it has begun last; the furthest
/// of these is the boundary, to which all are granted anew. No rank begins a step between its answer and a grant of the same number, and none of these is made
/// before all have answered: so nobody is past the boundary when it is known, and nobody is further than one step before it but those that replay. A request
/// that is lost is made again, an answer that comes twice or late says nothing. Pure.
/// </summary>
internal sealed class StepHold
{
    private readonly Dictionary<int, long> _begun = [];
    private int _rankCount;

    /// <summary>How often ranks have been asked.</summary>
    internal int Number { get; private set; }

    /// <summary>Whether answers are awaited.</summary>
    internal bool IsAsking { get; private set; }

    /// <summary>What grants are to carry: those that were made before all have answered may release nobody.</summary>
    internal int GrantNumber => IsAsking ? Number - 1 : Number;

    /// <summary>Ranks that have not answered.</summary>
    internal IEnumerable<int> Unheard => IsAsking ? Enumerable.Range(0, _rankCount).Where(rank => !_begun.ContainsKey(rank)) : [];

    /// <summary>All ranks are to be asked.</summary>
    internal void Ask(int rankCount)
    {
        (_rankCount, IsAsking) = (rankCount, true);
        _begun.Clear();
        Number++;
    }

    /// <summary>A rank has answered; the boundary once it was the last.</summary>
    /// <param name="rank">Who.</param>
    /// <param name="number">Which request it answers.</param>
    /// <param name="begunStep">The last step that it has begun.</param>
    internal long? Enter(int rank, int number, long begunStep)
    {
        if (!IsAsking || number != Number) return null;
        _begun[rank] = begunStep;
        if (_begun.Count < _rankCount) return null;
        IsAsking = false;
        return _begun.Values.Max();
    }

    /// <summary>The assignment is another one: who was asked is granted again what it had been, and is asked anew once all are there.</summary>
    internal void Cancel() => IsAsking = false;
}
