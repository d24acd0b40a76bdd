namespace Pipeline.Reduction;

/// <summary>
/// What brings replicas together that take steps of their own (DiLoCo, Douillard et al. 2023): every so many steps the mean over the replicas of
/// what each has moved is taken as the gradient of an outer step of SGD with Nesterov's momentum, from the weights that they last shared.
/// </summary>
/// <param name="Every">Steps from one to the next, from 1.</param>
/// <param name="LearningRate">Of the outer step.</param>
/// <param name="Momentum">Of the outer step, from 0 to below 1.</param>
public sealed record OuterStep(int Every, double LearningRate, double Momentum)
{
    /// <summary>Whether one ends a step, counted from 1.</summary>
    public bool Follows(long step) => step % Every == 0;
}
