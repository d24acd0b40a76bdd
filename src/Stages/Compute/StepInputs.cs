using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// Waits for an action's input. While the former step is open, a wait also ends with that step's outcome: the neighbour that is waited
/// for may have given up what would have been sent.
/// </summary>
/// <param name="inbox">Where inputs arrive.</param>
/// <param name="settlement">Knows the open step.</param>
/// <param name="settle">Settles it; throws if what was begun since is void.</param>
internal sealed class StepInputs(StageInbox inbox, StepSettlement settlement, Action settle)
{
    /// <summary>What was taken is not what it should be: the next one is awaited.</summary>
    internal void Refuse(FrameKey key, string fault) => inbox.Refuse(key, fault);

    /// <summary>The tensor of that key, owned by the caller, and when it came.</summary>
    internal (torch.Tensor? Tensor, long Ready) Take(FrameKey key, torch.Device device)
    {
        while (true)
        {
            if (inbox.TakeTensor(key, settlement.Awaited) is { } arrived) return (arrived.Value.Take(device), arrived.Timestamp);
            settle();
        }
    }
}
