namespace Pipeline.Data;

/// <summary>
/// How well counting alone predicts the held-out text, to hold a trained model against: a unigram with one added to each count
/// (Laplace), and a trigram with interpolated Kneser–Ney smoothing.
/// </summary>
/// <param name="UnigramNats">Cross-entropy in nats a token.</param>
/// <param name="TrigramNats">Cross-entropy in nats a token.</param>
/// <param name="UnigramBitsPerByte">The same in bits a byte of text.</param>
/// <param name="TrigramBitsPerByte">The same in bits a byte of text.</param>
public sealed record NgramBaseline(double UnigramNats, double TrigramNats, double UnigramBitsPerByte, double TrigramBitsPerByte)
{
    /// <summary>More training tokens than this are not counted: their n-grams would take gigabytes.</summary>
    public const int MaximumTokenCount = 20_000_000;

    public static NgramBaseline Measure(PreparedData data, CancellationToken cancellationToken = default)
    {
        int[] training = ReadTokens(data.Training);
        int[] validation = ReadTokens(data.Validation);
        cancellationToken.ThrowIfCancellationRequested();
        double unigram = UnigramLoss(training, validation, data.Tokenizer.VocabularySize);
        double trigram = TrigramLoss(training, validation, data.Tokenizer.VocabularySize, cancellationToken);
        return new NgramBaseline(unigram, trigram, data.BitsPerByte(unigram), data.BitsPerByte(trigram));
    }

    internal static double UnigramLoss(ReadOnlySpan<int> training, ReadOnlySpan<int> validation, int vocabularySize)
    {
        long[] counts = new long[vocabularySize];
        foreach (int token in training)
            counts[token]++;
        double total = training.Length + vocabularySize;
        double nats = 0;
        foreach (int token in validation)
            nats -= Math.Log((counts[token] + 1) / total);
        return nats / validation.Length;
    }

    // The first two tokens have no context of two and are not asked.
    internal static double TrigramLoss(ReadOnlySpan<int> training, ReadOnlySpan<int> validation, int vocabularySize, CancellationToken cancellationToken)
    {
        KneserNeyTrigram model = new(training, vocabularySize);
        cancellationToken.ThrowIfCancellationRequested();
        double nats = 0;
        for (int i = 2; i < validation.Length; i++)
            nats -= Math.Log(model.Probability(validation[i - 2], validation[i - 1], validation[i]));
        return nats / Math.Max(1, validation.Length - 2);
    }

    private static int[] ReadTokens(TokenFile file)
    {
        int[] tokens = new int[(int)Math.Min(MaximumTokenCount, file.TokenCount)];
        file.Read(0, tokens);
        return tokens;
    }
}
