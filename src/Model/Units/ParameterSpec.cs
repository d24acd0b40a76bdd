namespace Pipeline.Model.Units;

/// <summary>How a parameter is filled at step 0, from a generator keyed by the run's seed and the parameter's full name.</summary>
/// <param name="Mean">Constant part.</param>
/// <param name="Deviation">Standard deviation of the normal part; 0 for constants.</param>
public readonly record struct Initialization(double Mean, double Deviation)
{
    /// <summary>All zeros.</summary>
    public static Initialization Zeros => new(0, 0);

    /// <summary>All ones.</summary>
    public static Initialization Ones => new(1, 0);

    /// <summary>Normal around zero.</summary>
    public static Initialization Normal(double deviation) => new(0, deviation);
}

/// <summary>One parameter of a unit: what must be known before memory exists.</summary>
/// <param name="Name">Name inside the unit, such as <c>query.weight</c>.</param>
/// <param name="Shape">Dimensions.</param>
/// <param name="Initialization">Values at step 0.</param>
public sealed record ParameterSpec(string Name, long[] Shape, Initialization Initialization)
{
    /// <summary>Whether decoupled weight decay applies; by default to matrices only.</summary>
    public bool Decay { get; init; } = Shape.Length >= 2;

    /// <summary>Whether the unit computes with the fp32 master even in bf16 runs; by default vectors do.</summary>
    public bool ComputesInMaster { get; init; } = Shape.Length < 2;

    /// <summary>
    /// Full name (<c>unit.parameter</c>) of the parameter of an earlier unit whose values this one shares, or null.
    /// Both uses accumulate their gradients apart; the two sums are added once a step. Only the owner counts in the norm and is saved.
    /// </summary>
    public string? TiedTo { get; init; }

    /// <summary>Number of elements.</summary>
    public long ElementCount => Shape.Aggregate(1L, (product, size) => product * size);
}
