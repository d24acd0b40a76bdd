namespace Pipeline.Model.Units;

/// <summary>Which of a unit's activations are dropped after its forward and computed anew, to the same bits, before its backward.</summary>
public enum Recomputation
{
    /// <summary>Nothing is dropped.</summary>
    None,

    /// <summary>What is large and cheap to make again: attention probabilities. A unit without such a thing drops nothing.</summary>
    Selective,

    /// <summary>Everything but the unit's input: its forward runs again.</summary>
    Full,
}
