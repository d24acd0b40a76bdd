using System.Globalization;

namespace Pipeline.Data;

/// <summary>
/// Which text is learnt, how it is turned into tokens, and where the result is kept. The values are checked by
/// <see cref="ThrowIfInvalid"/>, which reports every problem at once, by configuration key.
/// </summary>
public sealed record DataSettings
{
    /// <summary>Takes a byte-level BPE, or plain bytes where the vocabulary has exactly that size.</summary>
    public const string AutomaticTokenizer = "auto";

    /// <summary>The 256 bytes and the end of text.</summary>
    public const string BytesTokenizer = "bytes";

    /// <summary>A byte-level BPE trained on the training documents.</summary>
    public const string BpeTokenizer = "bpe";

    /// <summary>A text file, a JSONL file, a folder or a glob; null or empty: the reference documentation of the installed SDK.</summary>
    public string? Path { get; init; }

    /// <summary>The field of a JSONL line that holds the text.</summary>
    public string TextField { get; init; } = "text";

    /// <summary>
    /// The share of the text, by bytes, that is held out for validation: (0, 0.5]. At least one sample is held out: where the
    /// share of a small corpus is shorter than that, it is doubled until it is not, and a notice says so.
    /// </summary>
    public double HoldOut { get; init; } = 0.05;

    /// <summary><c>auto</c>, <c>bytes</c>, <c>bpe</c>, or a folder with <c>tokenizer.json</c> or <c>vocab.json</c> and <c>merges.txt</c>.</summary>
    public string Tokenizer { get; init; } = AutomaticTokenizer;

    /// <summary>Tokens of the BPE to train, the end of text among them: 256 to 32,768; 0 takes the model's vocabulary.</summary>
    public int VocabularySize { get; init; }

    /// <summary>Tokens that a sample feeds to the model; a sample has one more, the last target.</summary>
    public int ContextLength { get; init; } = 256;

    /// <summary>Where prepared corpora are kept, one folder each, named by a hash of the content and of these settings.</summary>
    public string CacheFolder { get; init; } = DefaultCacheFolder();

    /// <summary><c>$XDG_CACHE_HOME/pipeline</c>, or <c>~/.cache/pipeline</c>; a relative <c>XDG_CACHE_HOME</c> is ignored, as its specification asks.</summary>
    public static string DefaultCacheFolder()
    {
        string? root = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        if (string.IsNullOrEmpty(root) || !System.IO.Path.IsPathRooted(root))
            root = System.IO.Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        return System.IO.Path.Combine(root, "pipeline");
    }

    /// <summary>Every value that is out of range, one sentence each; empty when all is well.</summary>
    public IReadOnlyList<string> FindProblems()
    {
        List<string> problems = [];
        if (!(HoldOut > 0 && HoldOut <= 0.5))
            problems.Add(string.Create(CultureInfo.InvariantCulture, $"pipeline.data.hold-out is {HoldOut}: a share above 0 and at most 0.5 is expected."));
        if (string.IsNullOrWhiteSpace(TextField))
            problems.Add("pipeline.data.text-field is empty: the name of the JSONL field that holds the text is expected.");
        if (string.IsNullOrWhiteSpace(Tokenizer))
            problems.Add("pipeline.data.tokenizer is empty: auto, bytes, bpe or a folder is expected.");
        if (VocabularySize != 0 && VocabularySize is < BpeTrainer.MinimumVocabularySize or > BpeTrainer.MaximumVocabularySize)
        {
            problems.Add($"pipeline.data.vocabulary-size is {VocabularySize}: {BpeTrainer.MinimumVocabularySize} to "
                + $"{BpeTrainer.MaximumVocabularySize} tokens, or 0 for the model's vocabulary, are expected.");
        }
        if (ContextLength is < 1 or > 1 << 20)
            problems.Add($"The context is {ContextLength} tokens: 1 to {1 << 20} are expected (pipeline.model.context).");
        if (string.IsNullOrWhiteSpace(CacheFolder))
            problems.Add("pipeline.data.cache-folder is empty: the path of a folder is expected.");
        return problems;
    }

    /// <exception cref="DataException">A value is out of range; the message lists all of them.</exception>
    public void ThrowIfInvalid()
    {
        IReadOnlyList<string> problems = FindProblems();
        if (problems.Count > 0)
            throw new DataException(string.Join(Environment.NewLine, problems));
    }
}
