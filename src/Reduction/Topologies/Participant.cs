namespace Pipeline.Reduction.Topologies;

/// <summary>Who takes part in a reduction: a replica by its index, or the reducer that stands beside them under the coordinator.</summary>
/// <param name="Replica">Index of the replica; −1 for the reducer.</param>
public readonly record struct Participant(int Replica)
{
    /// <summary>The one that has no gradient of its own.</summary>
    public static Participant Reducer => new(-1);

    /// <summary>Whether it has a gradient of its own.</summary>
    public bool IsReplica => Replica >= 0;

    /// <inheritdoc/>
    public override string ToString() => IsReplica ? $"replica {Replica}" : "reducer";
}
