namespace Pipeline.Data;

/// <summary>A corpus ready to be learnt: its tokenizer, and the token files for training and validation, which it owns.</summary>
public sealed class PreparedData : IDisposable
{
    private readonly PreparedRecord _record;

    private PreparedData(string folder, PreparedRecord record, ITokenizer tokenizer, TokenFile training, TokenFile validation)
    {
        Folder = folder;
        _record = record;
        Tokenizer = tokenizer;
        Training = training;
        Validation = validation;
    }

    /// <summary>Holds the token files, <c>tokenizer.json</c>, <c>vocab.json</c>, <c>merges.txt</c> and <c>prepared.json</c>.</summary>
    public string Folder { get; }

    public ITokenizer Tokenizer { get; }

    public TokenFile Training { get; }

    public TokenFile Validation { get; }

    /// <summary>What the corpus is, for people.</summary>
    public string CorpusDescription => _record.Corpus;

    /// <summary>The hash of the corpus's content.</summary>
    public string CorpusHash => _record.CorpusHash;

    /// <summary>What the user should know about the preparation; also when it is taken from the cache.</summary>
    public IReadOnlyList<string> Notices => _record.Notices;

    public double TrainingBytesPerToken => (double)Training.TextByteCount / Training.TokenCount;

    /// <summary>UTF-8 bytes of held-out text ÷ its tokens, the end of text among the tokens but not among the bytes.</summary>
    public double ValidationBytesPerToken => (double)Validation.TextByteCount / Validation.TokenCount;

    /// <summary>Turns a validation loss in nats a token into bits a byte, which compares across tokenizers.</summary>
    public double BitsPerByte(double natsPerToken) => natsPerToken / Math.Log(2) / ValidationBytesPerToken;

    /// <summary>Opens a folder that <see cref="DataPreparation"/> wrote.</summary>
    /// <exception cref="DataException">A file is missing or damaged, or the tokens were not made by the tokenizer beside them.</exception>
    public static PreparedData Open(string folder)
    {
        PreparedRecord record = PreparedRecord.Load(folder);
        ITokenizer tokenizer = TokenizerLoader.Load(folder);
        TokenFile training = OpenTokens(Path.Combine(folder, PreparedRecord.TrainingFileName), tokenizer);
        try
        {
            return new PreparedData(folder, record, tokenizer, training, OpenTokens(Path.Combine(folder, PreparedRecord.ValidationFileName), tokenizer));
        }
        catch
        {
            training.Dispose();
            throw;
        }
    }

    private static TokenFile OpenTokens(string path, ITokenizer tokenizer)
    {
        TokenFile tokens = TokenFile.Open(path);
        if (tokens.TokenizerHash == tokenizer.Hash)
            return tokens;
        string hash = tokens.TokenizerHash;
        tokens.Dispose();
        throw TokenFileHeader.Fault(path, $"was made by the tokenizer {hash}, beside it lies {tokenizer.Hash}");
    }

    public void Dispose()
    {
        Training.Dispose();
        Validation.Dispose();
    }
}
