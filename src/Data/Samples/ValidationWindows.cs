namespace Pipeline.Data;

/// <summary>The held-out tokens as windows one after the other, always the same; what is left over at the end is not used.</summary>
public sealed class ValidationWindows
{
    private readonly TokenFile _tokens;

    /// <exception cref="DataException">The file is shorter than a window.</exception>
    public ValidationWindows(TokenFile tokens, int contextLength)
    {
        if (tokens.TokenCount <= contextLength)
        {
            throw new DataException($"The held-out text has {tokens.TokenCount} tokens, {contextLength + 1} are needed for a context of {contextLength}. "
                + "Raise pipeline.data.hold-out, give more text or lower pipeline.model.context.");
        }
        _tokens = tokens;
        ContextLength = contextLength;
        Count = (tokens.TokenCount - 1) / contextLength;
    }

    public int ContextLength { get; }

    public long Count { get; }

    /// <summary>The offset of a window's first token; the window has <see cref="ContextLength"/> + 1 tokens.</summary>
    public long ValidationWindow(long index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Count);
        return index * ContextLength;
    }

    /// <param name="index">0 to <see cref="Count"/> − 1.</param>
    /// <param name="window"><see cref="ContextLength"/> + 1 tokens.</param>
    public void Read(long index, Span<long> window) => _tokens.Read(ValidationWindow(index), window[..(ContextLength + 1)]);

    /// <inheritdoc cref="Read(long, Span{long})"/>
    public void Read(long index, Span<int> window) => _tokens.Read(ValidationWindow(index), window[..(ContextLength + 1)]);
}
