using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction.Topologies;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// The transfers of one kind that a replica still awaits in a step, in the order in which most of them come: those that links have worked on are done with, the others it has taken. On the
/// compute thread only; owns nothing.
/// </summary>
/// <param name="links">Where they come.</param>
/// <param name="keyOf">Names a transfer in a step.</param>
/// <param name="hasRoom">Whether a transfer that has come may be taken while more than it is still to come. All may that are waited for.</param>
/// <param name="unsent">A loan whose memory a transfer is to take the place of, as long as a link may still read it; null for none.</param>
/// <param name="take">Takes a tensor, which stays the caller's.</param>
internal sealed class AwaitedTransfers(ReplicaLinks links, Func<Transfer, StepKey, FrameKey> keyOf, Func<Transfer, bool> hasRoom, Func<Transfer, TensorLoan?> unsent, Action<Transfer, Tensor, StepKey> take)
{
    private readonly List<Transfer> _left = [];

    /// <summary>When the last one had come, or was worked on, in this step; 0 before.</summary>
    internal long Ready { get; private set; }

    /// <summary>A step begins.</summary>
    internal void Begin(IEnumerable<Transfer> transfers)
    {
        Ready = 0;
        _left.AddRange(transfers);
    }

    /// <summary>Takes what has come, without waiting.</summary>
    internal void Proceed(StepKey step) => TakeWhatCame(step, waits: false);

    /// <summary>Takes all of them.</summary>
    /// <param name="step">Step.</param>
    /// <param name="beforeWaiting">Called before each wait.</param>
    internal void Finish(StepKey step, Action beforeWaiting)
    {
        while (true)
        {
            TakeWhatCame(step, waits: true);
            if (_left.Count == 0) return;
            beforeWaiting();
            links.AwaitAny([.. _left.Select(transfer => keyOf(transfer, step))]);
        }
    }

    /// <summary>Who waits looks no further than the first gap: what lies behind it is seldom there.</summary>
    private void TakeWhatCame(StepKey step, bool waits)
    {
        var isAnyTaken = false;
        for (var index = 0; index < _left.Count && !(waits && isAnyTaken && index > 0);)
        {
            if (TryTake(_left[index], step, waits))
            {
                _left.RemoveAt(index);
                isAnyTaken = true;
            }
            else
            {
                index++;
            }
        }
    }

    private bool TryTake(Transfer transfer, StepKey step, bool waits)
    {
        var key = keyOf(transfer, step);
        if (!waits && !hasRoom(transfer)) return false;
        if (links.TakeUnlessWorked(key) is not var (tensor, ready)) return false;
        Ready = Math.Max(Ready, ready);
        if (tensor is null) return true;
        using (tensor)
        {
            if (unsent(transfer) is { } loan) links.AwaitEnd(loan, key);
            take(transfer, tensor, step);
        }

        return true;
    }
}
