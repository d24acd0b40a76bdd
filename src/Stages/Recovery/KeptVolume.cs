namespace Pipeline.Stages;

/// <summary>
/// How much a rank keeps of what it has sent, for ranks that may be lost, and whether there is room for more. What is kept is forgotten once the coordinator says
/// that it is protected: while nobody leads, it only grows. Any thread.
/// </summary>
/// <param name="limit">Bytes above which the rank begins no step that it need not.</param>
internal sealed class KeptVolume(long limit)
{
    private long _byteCount;

    /// <summary>Bytes of the tensors that are kept. One that is kept for two ranks counts twice.</summary>
    internal long ByteCount => Interlocked.Read(ref _byteCount);

    /// <summary>Whether a step may be begun that is granted, but not assured.</summary>
    internal bool HasRoom => ByteCount <= limit;

    /// <summary>More, or with a negative number less, is kept.</summary>
    internal void Add(long byteCount) => Interlocked.Add(ref _byteCount, byteCount);
}
