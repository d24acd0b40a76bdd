using System.Text;
using System.Text.Json;

namespace Pipeline.Data;

/// <summary>
/// Loads a byte-level BPE in GPT-2's form from a folder: <c>tokenizer.json</c>, or <c>vocab.json</c> and <c>merges.txt</c>, or
/// GPT-2's own <c>encoder.json</c> and <c>vocab.bpe</c>. Where there is no end-of-text token, one is added after the last token.
/// </summary>
public static class TokenizerLoader
{
    /// <exception cref="DataException">The folder holds no tokenizer, or one that encodes in another way than GPT-2's.</exception>
    public static ITokenizer Load(string folder)
    {
        try
        {
            string tokenizerFile = Path.Combine(folder, "tokenizer.json");
            BpeVocabulary vocabulary = File.Exists(tokenizerFile)
                ? TokenizerJson.Read(tokenizerFile)
                : ReadPair(folder, "vocab.json", "merges.txt") ?? ReadPair(folder, "encoder.json", "vocab.bpe") ?? throw NothingIn(folder);
            return vocabulary.Hash == ByteTokenizer.Vocabulary.Hash ? new ByteTokenizer() : new BpeTokenizer(vocabulary);
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException or KeyNotFoundException or InvalidOperationException)
        {
            throw new DataException($"The tokenizer in {folder} cannot be read: {e.Message}", e);
        }
    }

    private static DataException NothingIn(string folder) => Directory.Exists(folder)
        ? new DataException($"The folder {folder} holds no tokenizer: tokenizer.json, or vocab.json with merges.txt, is expected.")
        : new DataException($"The tokenizer \"{folder}\" is neither auto, bytes nor bpe, and there is no such folder. Correct pipeline.data.tokenizer.");

    private static BpeVocabulary? ReadPair(string folder, string vocabularyName, string mergesName)
    {
        string vocabularyFile = Path.Combine(folder, vocabularyName);
        string mergesFile = Path.Combine(folder, mergesName);
        if (!File.Exists(vocabularyFile) || !File.Exists(mergesFile))
            return null;
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(vocabularyFile));
        VocabularyBuilder builder = new(vocabularyFile);
        builder.AddTokens(json.RootElement);
        builder.Source = mergesFile;
        int lineNumber = 0;
        foreach (string line in File.ReadLines(mergesFile, Encoding.UTF8))
        {
            lineNumber++;
            if (line.Length > 0 && !(lineNumber == 1 && line.StartsWith("#version", StringComparison.Ordinal)))
                builder.AddMerge(line, $"line {lineNumber}");
        }
        return builder.Build();
    }
}
