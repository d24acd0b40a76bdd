namespace Pipeline.Schedules;

/// <summary>The units of one stage: <paramref name="Count"/> units from index <paramref name="Start"/> in the model's order.</summary>
public readonly record struct UnitRange(int Start, int Count)
{
    /// <summary>The index after the last unit.</summary>
    public int End => Start + Count;
}
