using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Stages;
using TorchSharp;

namespace Pipeline.Tests.Stages.Replicas;

/// <summary>Links that write down what is sent, and bring it to the other ranks where that is wanted. They lend nothing.</summary>
internal sealed class RecordingLinks(int self, StageInbox[] inboxes, FrameRecord written, bool brings) : IStageLinks
{
    public void Send(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion)
    {
        using (tensor)
        {
            var frame = TensorBytes.ToFrame(key, tensor);
            written.Add(self, rank, frame);
            if (brings) inboxes[rank].Post(new FrameArrival(frame));
        }
    }

    public void Send(int rank, NeighbourProtocol.INote note) => throw new NotSupportedException();

    public bool TakesCopies => false;

    public void Protect(StateCopy copy) => copy.Dispose();

    public void Report(StageProtocol.IEvent report)
    {
    }
}

/// <summary>What ranks have sent each other. Any thread.</summary>
internal sealed class FrameRecord
{
    private readonly Lock _gate = new();
    private readonly List<(int From, int To, TensorFrame Frame)> _sent = [];

    internal void Add(int from, int to, TensorFrame frame)
    {
        lock (_gate) _sent.Add((from, to, frame));
    }

    /// <summary>Frames of a kind that a rank was sent.</summary>
    internal IReadOnlyList<TensorFrame> To(int rank, FrameKind kind)
    {
        lock (_gate) return [.. _sent.Where(sent => sent.To == rank && sent.Frame.Key.Kind == kind).Select(sent => sent.Frame)];
    }

    /// <summary>What a rank has sent, whom, and the bytes in words that can be compared, in an order that does not depend on time.</summary>
    internal IReadOnlyList<(int To, string Key, string Bytes)> From(int rank)
    {
        lock (_gate)
        {
            return
            [
                .. _sent.Where(sent => sent.From == rank).Select(sent => (sent.To, Key: sent.Frame.Key.ToString(), Bytes: Convert.ToHexString(System.IO.Hashing.XxHash3.Hash(sent.Frame.Bytes.Span))))
                    .Order(),
            ];
        }
    }
}
