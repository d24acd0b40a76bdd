using System.Globalization;
using System.IO.Hashing;
using System.Text;

namespace Pipeline.Data;

/// <summary>Turns a corpus into token files once, and finds them again by the hash of its content and of the settings.</summary>
public static class DataPreparation
{
    /// <summary>Raised whenever the same corpus and settings give other tokens, so that older caches are not taken for them.</summary>
    private const int FormatVersion = 1;

    /// <param name="settings">Corpus, tokenizer, hold-out, cache.</param>
    /// <param name="vocabularySize">
    /// Tokens of the model: the size of the BPE to train if <see cref="DataSettings.VocabularySize"/> is 0, and what no tokenizer may exceed.
    /// 0 leaves it to the settings.
    /// </param>
    /// <param name="progress">Told in words what is going on.</param>
    /// <param name="cancellationToken">Ends the preparation; the cache stays as it was.</param>
    /// <returns>Open files; the caller disposes them.</returns>
    /// <exception cref="DataException">A setting, the corpus, the tokenizer or the cache needs the user.</exception>
    public static PreparedData Prepare(
        DataSettings settings, int vocabularySize, IProgress<string>? progress = null, CancellationToken cancellationToken = default)
    {
        settings.ThrowIfInvalid();
        TokenizerChoice choice = TokenizerChoice.From(settings, vocabularySize);
        Corpus corpus = Corpus.Open(settings, cancellationToken);
        PreparationCache cache = new(settings.CacheFolder, KeyOf(corpus, settings, choice));
        CorpusEncoder encoder = new(corpus, choice, settings.ContextLength, progress, cancellationToken);
        return cache.OpenOrPrepare(folder => encoder.Encode(settings.HoldOut, folder), progress, cancellationToken);
    }

    private static string KeyOf(Corpus corpus, DataSettings settings, TokenizerChoice choice)
    {
        string[] parts =
        [
            FormatVersion.ToString(CultureInfo.InvariantCulture),
            ReferenceDocumentationText.FormatVersion.ToString(CultureInfo.InvariantCulture),
            corpus.ContentHash,
            settings.TextField,
            settings.HoldOut.ToString("R", CultureInfo.InvariantCulture),
            settings.ContextLength.ToString(CultureInfo.InvariantCulture),
            choice.Key,
        ];
        return Convert.ToHexStringLower(XxHash128.Hash(Encoding.UTF8.GetBytes(string.Join('\n', parts))));
    }
}
