using Pipeline.Protocol.Frames;

namespace Pipeline.Stages;

/// <summary>How the compute thread waits for memory that it has lent to a link.</summary>
internal sealed partial class StageInbox
{
    private bool _awaitsLoan;

    /// <summary>A link no longer reads memory of this rank. Any thread.</summary>
    internal void LoanEnded()
    {
        lock (_gate)
        {
            if (_awaitsLoan) Wake();
        }
    }

    /// <summary>Waits until a link no longer reads memory that was lent to it.</summary>
    /// <param name="loan">The loan.</param>
    /// <param name="key">What takes the memory's place: stands for the wait in reports.</param>
    internal void AwaitEnd(TensorLoan loan, FrameKey key)
    {
        lock (_gate)
        {
            try
            {
                while (!loan.IsOver)
                {
                    ThrowIfClosed();
                    _awaitsLoan = true;
                    Wait(FlightSubject.Of(key));
                }
            }
            finally
            {
                _awaitsLoan = false;
            }

            _flight.Goes();
        }
    }
}
