namespace Pipeline.Schedules;

/// <summary>One executed action: predicted (in the unit of the costs) or measured (in seconds), always on one common clock.</summary>
public readonly record struct ActionSpan(int Rank, StageAction Action, double Start, double End)
{
    /// <summary>End minus start.</summary>
    public double Duration => End - Start;
}
