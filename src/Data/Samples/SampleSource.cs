namespace Pipeline.Data;

/// <summary>Training samples of a token file by position. Holds no state but the file, which it does not own.</summary>
public sealed class SampleSource
{
    private readonly TokenFile _tokens;
    private readonly ulong _seed;

    /// <exception cref="DataException">The file is shorter than a sample.</exception>
    public SampleSource(TokenFile tokens, int contextLength, ulong seed)
    {
        _tokens = tokens;
        _seed = seed;
        Index = new SampleIndex(tokens.TokenCount, contextLength);
    }

    public SampleIndex Index { get; }

    public int ContextLength => Index.ContextLength;

    /// <summary>Reads consecutive samples of a step, each <see cref="ContextLength"/> + 1 tokens: inputs are all but the last, targets all but the first.</summary>
    /// <param name="step">0 and up.</param>
    /// <param name="firstPosition">The first sample's place in the step.</param>
    /// <param name="samplesPerStep">Samples of a step over all micro-batches and replicas.</param>
    /// <param name="windows">[sample, ContextLength + 1], row by row; its length says how many samples.</param>
    public void Read(long step, int firstPosition, int samplesPerStep, Span<long> windows)
    {
        int sampleCount = CountOf(windows.Length);
        for (int i = 0; i < sampleCount; i++)
            _tokens.Read(OffsetOf(step, firstPosition + i, samplesPerStep), windows.Slice(i * (ContextLength + 1), ContextLength + 1));
    }

    /// <inheritdoc cref="Read(long, int, int, Span{long})"/>
    public void Read(long step, int firstPosition, int samplesPerStep, Span<int> windows)
    {
        int sampleCount = CountOf(windows.Length);
        for (int i = 0; i < sampleCount; i++)
            _tokens.Read(OffsetOf(step, firstPosition + i, samplesPerStep), windows.Slice(i * (ContextLength + 1), ContextLength + 1));
    }

    /// <summary>The offset in the token file at which a sample of a step begins.</summary>
    public long OffsetOf(long step, int position, int samplesPerStep)
    {
        SamplePosition place = Index.PositionOf(step, position, samplesPerStep);
        return Index.SampleAt(_seed, place.Epoch, place.Index);
    }

    private int CountOf(int length) => length % (ContextLength + 1) == 0
        ? length / (ContextLength + 1)
        : throw new ArgumentException($"Whole samples of {ContextLength + 1} tokens are expected, found room for {length} tokens.");
}
