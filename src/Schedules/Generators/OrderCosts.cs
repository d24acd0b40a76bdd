namespace Pipeline.Schedules;

/// <summary>What the parts of a micro-batch cost while an order is found, the same on every stage, in any one unit of time.</summary>
/// <param name="Forward">A forward, above 0.</param>
/// <param name="InputGradient">The half of a backward that yields the gradient of the input, with what is made again before it; above 0.</param>
/// <param name="WeightGradient">The half that yields the gradients of the parameters, above 0.</param>
public readonly record struct OrderCosts(double Forward, double InputGradient, double WeightGradient)
{
    /// <summary>All parts cost the same.</summary>
    public static OrderCosts Equal { get; } = new(1, 1, 1);

    /// <summary>The cost of an action of that kind.</summary>
    internal double Of(ActionKind kind) => kind switch
    {
        ActionKind.Forward => Forward,
        ActionKind.InputGradient => InputGradient,
        _ => WeightGradient,
    };
}
