namespace Pipeline.Training;

/// <summary>What follows when the loss or the gradient norm of a step is not finite. No such step is ever applied.</summary>
/// <param name="Skips">Whether the step is left out, unless the one before it was: the state stays as it is and the next step follows.</param>
/// <param name="Limit">How often the same step may be refused otherwise: each time but the last all ranks go back to the newest checkpoint.</param>
public sealed record NonFinitePolicy(bool Skips, int Limit)
{
    /// <summary>The first such step ends the run.</summary>
    public static NonFinitePolicy None { get; } = new(false, 1);
}
