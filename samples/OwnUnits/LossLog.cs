using Pipeline.Coordinator;

namespace OwnUnits;

/// <summary>Keeps the loss of every step of a run.</summary>
internal sealed class LossLog : IRunObserver
{
    private readonly List<double> _losses = [];

    /// <summary>Loss of a step, counted from 0.</summary>
    public double this[int index] => _losses[index];

    /// <inheritdoc/>
    public void OnNotice(RunNotice notice)
    {
        if (notice is RunNotice.StepCommitted { Step: var step }) _losses.Add(step.Loss);
    }

    /// <summary>Whether another run had the same losses, to the last bit.</summary>
    public bool HasTheBitsOf(LossLog other) =>
        _losses.Select(BitConverter.DoubleToInt64Bits).SequenceEqual(other._losses.Select(BitConverter.DoubleToInt64Bits));
}
