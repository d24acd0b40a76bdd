using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// While memory that was lent is changed: holds the lock of those who keep it, from construction to <see cref="Dispose"/> on the same thread, and then has them
/// keep a tensor instead.
/// </summary>
internal sealed class LoanSettlement : IDisposable
{
    private readonly Lock _gate;
    private readonly TensorLoan _loan;
    private readonly torch.Tensor _own;

    /// <param name="gate">Guards what is kept.</param>
    /// <param name="loan">Over, and kept.</param>
    /// <param name="own">Kept from the end on; owned from now on.</param>
    internal LoanSettlement(Lock gate, TensorLoan loan, torch.Tensor own)
    {
        (_gate, _loan, _own) = (gate, loan, own);
        gate.Enter();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_loan.Kept is { } kept) kept.Replace(_own);
        else _own.Dispose();
        _gate.Exit();
    }
}
