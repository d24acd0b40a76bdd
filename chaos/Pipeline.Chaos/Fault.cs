namespace Pipeline.Chaos;

/// <summary>What is done to a running cluster.</summary>
internal enum Fault
{
    /// <summary>kill -9 of a node that holds a stage.</summary>
    KillStage,

    /// <summary>kill -9 of the node that leads.</summary>
    KillCoordinator,

    /// <summary>kill -9 of both at once.</summary>
    KillBoth,

    /// <summary>SIGSTOP for a second: nothing may be replaced.</summary>
    FreezeShortly,

    /// <summary>SIGSTOP for ten seconds: the node is replaced, and ends when it wakes.</summary>
    FreezeLong,

    /// <summary>SIGSTOP for a minute: the same, and by then nobody remembers it.</summary>
    FreezeMinute,

    /// <summary>SIGTERM: the node hands over and leaves.</summary>
    Drain,
}

/// <summary>Draws faults, the same ones for the same seed.</summary>
/// <param name="seed">The same seed gives the same faults.</param>
/// <param name="kinds">The only ones that are drawn; empty for all.</param>
internal sealed class FaultDice(int seed, IReadOnlyCollection<Fault> kinds)
{
    private static readonly (Fault Fault, int Weight)[] AllWeights =
        [(Fault.KillStage, 45), (Fault.KillCoordinator, 20), (Fault.KillBoth, 10), (Fault.FreezeShortly, 8), (Fault.FreezeLong, 4), (Fault.FreezeMinute, 1), (Fault.Drain, 12)];

    private readonly Random _random = new(seed);

    private (Fault Fault, int Weight)[] Weights { get; } = [.. AllWeights.Where(pair => kinds.Count == 0 || kinds.Contains(pair.Fault))];

    /// <summary>The next fault.</summary>
    internal Fault Next()
    {
        var throwOf = _random.Next(Weights.Sum(pair => pair.Weight));
        foreach (var (fault, weight) in Weights)
        {
            if ((throwOf -= weight) < 0) return fault;
        }

        throw new InvalidOperationException("The weights do not add up.");
    }

    /// <summary>How long the cluster is left alone before it.</summary>
    internal TimeSpan Pause() => TimeSpan.FromMilliseconds(_random.Next(100, 1500));

    /// <summary>One of several.</summary>
    internal T One<T>(IReadOnlyList<T> items) => items[_random.Next(items.Count)];
}
