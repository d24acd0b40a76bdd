namespace Pipeline.Schedules;

/// <summary>What the units of a stage drop after their forward, to make it again before their backward.</summary>
public enum RecomputePolicy : byte
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>What is large and cheap to make again.</summary>
    Selective,

    /// <summary>All but each unit's input.</summary>
    Full,
}
