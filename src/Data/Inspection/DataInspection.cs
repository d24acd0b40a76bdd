namespace Pipeline.Data;

/// <summary>One of the two sets of a prepared corpus in numbers.</summary>
/// <param name="DocumentCount">Whole documents; a lone one is cut between the sets.</param>
/// <param name="ByteCount">UTF-8 bytes of text.</param>
/// <param name="TokenCount">With the end of text between documents.</param>
/// <param name="BytesPerToken">The one ÷ the other.</param>
/// <param name="UsedTokenCount">Tokens of the vocabulary that occur.</param>
public sealed record TokenSetInspection(long DocumentCount, long ByteCount, long TokenCount, double BytesPerToken, int UsedTokenCount);

/// <summary>The beginning of a training sample, as the model gets it and as people read it.</summary>
/// <param name="Epoch">Always 0.</param>
/// <param name="Index">Its place in the epoch.</param>
/// <param name="Offset">Its first token's place in the training file.</param>
/// <param name="Tokens">Token numbers.</param>
/// <param name="Text">What they decode to.</param>
public sealed record SampleInspection(long Epoch, long Index, long Offset, IReadOnlyList<int> Tokens, string Text);

/// <summary>What <c>pipeline data inspect</c> shows, ready to be printed as text or JSON.</summary>
public sealed record DataInspection
{
    public required string Corpus { get; init; }
    public required string Folder { get; init; }
    public required string TokenizerKind { get; init; }
    public required string TokenizerHash { get; init; }
    public required int VocabularySize { get; init; }
    public required TokenSetInspection Training { get; init; }
    public required TokenSetInspection Validation { get; init; }
    public required int ContextLength { get; init; }
    public required long SamplesPerEpoch { get; init; }
    public required long ValidationWindowCount { get; init; }
    public required IReadOnlyList<SampleInspection> Samples { get; init; }
    public required NgramBaseline Baseline { get; init; }
    public required IReadOnlyList<string> Notices { get; init; }

    /// <param name="data">Stays open and the caller's.</param>
    /// <param name="contextLength">The model's context.</param>
    /// <param name="seed">The run's seed of data: the samples are those the run would begin with.</param>
    /// <param name="sampleCount">How many samples to show.</param>
    /// <param name="cancellationToken">Looked at between the parts.</param>
    public static DataInspection Of(PreparedData data, int contextLength, ulong seed, int sampleCount = 3, CancellationToken cancellationToken = default)
    {
        SampleIndex index = new(data.Training.TokenCount, contextLength);
        return new DataInspection
        {
            Corpus = data.CorpusDescription,
            Folder = data.Folder,
            TokenizerKind = data.Tokenizer.Kind,
            TokenizerHash = data.Tokenizer.Hash,
            VocabularySize = data.Tokenizer.VocabularySize,
            Training = Describe(data.Training, cancellationToken),
            Validation = Describe(data.Validation, cancellationToken),
            ContextLength = contextLength,
            SamplesPerEpoch = index.SamplesPerEpoch,
            ValidationWindowCount = new ValidationWindows(data.Validation, contextLength).Count,
            Samples = Enumerable.Range(0, (int)Math.Min(sampleCount, index.SamplesPerEpoch)).Select(i => Show(data, index, seed, i)).ToArray(),
            Baseline = NgramBaseline.Measure(data, cancellationToken),
            Notices = data.Notices,
        };
    }

    private static TokenSetInspection Describe(TokenFile file, CancellationToken cancellationToken)
    {
        bool[] isUsed = new bool[file.VocabularySize];
        int[] chunk = new int[1 << 16];
        for (long offset = 0; offset < file.TokenCount; offset += chunk.Length)
        {
            cancellationToken.ThrowIfCancellationRequested();
            Span<int> tokens = chunk.AsSpan(0, (int)Math.Min(chunk.Length, file.TokenCount - offset));
            file.Read(offset, tokens);
            foreach (int token in tokens)
                isUsed[token] = true;
        }
        return new TokenSetInspection(file.DocumentCount, file.TextByteCount, file.TokenCount,
            (double)file.TextByteCount / file.TokenCount, isUsed.Count(used => used));
    }

    private static SampleInspection Show(PreparedData data, SampleIndex index, ulong seed, int sampleIndex)
    {
        long offset = index.SampleAt(seed, 0, sampleIndex);
        int[] tokens = new int[index.ContextLength + 1];
        data.Training.Read(offset, tokens);
        return new SampleInspection(0, sampleIndex, offset, tokens, data.Tokenizer.Decode(tokens));
    }
}
