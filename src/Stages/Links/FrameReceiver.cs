using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;

namespace Pipeline.Stages;

/// <summary>Receives frames of one tensor for an inbox: where it has a place for them, otherwise in memory of their own. On the thread of a link.</summary>
internal sealed class FrameReceiver(StageInbox inbox)
{
    /// <summary>Memory for a frame.</summary>
    internal TensorMemory Rent(FrameHeader header)
    {
        var (key, tensor) = (header.Key, header.Tensors[0]);
        if (inbox.TakePlace(key) is not { } place) return TensorMemory.ToReceive(tensor);
        if (tensor.DataType == TensorBytes.WireType(place.dtype) && tensor.Shape.SequenceEqual(place.shape)) return TensorMemory.ToReceive(place, () => inbox.ReturnPlace(key));
        // Whoever takes it says what is wrong with it.
        place.Dispose();
        inbox.ReturnPlace(key);
        return TensorMemory.ToReceive(tensor);
    }

    /// <summary>Has a frame that has come worked on, if that was asked for.</summary>
    /// <param name="frame">The frame, in memory of <see cref="Rent"/>.</param>
    /// <param name="mayWork">Whether it is this receiver's to judge.</param>
    /// <returns>What is left to be handed on, in memory of its own; null for nothing.</returns>
    internal TensorReceived? Arrived(ArrivedFrame frame, bool mayWork = true)
    {
        var memory = (TensorMemory)frame.Buffer;
        var (key, isInPlace) = (frame.Header.Key, memory.IsInPlace);
        var received = new TensorReceived(key, memory.Take(), frame.Header.Span);
        if (mayWork && inbox.TryWork(new ReceivedTensor(received), isInPlace)) return null;
        if (!isInPlace) return received;
        using (received.Tensor) received = received with { Tensor = KeptMessages.CopyOf(received.Tensor) };
        inbox.ReturnPlace(key);
        return received;
    }
}
