using System.Text.Encodings.Web;
using System.Text.Json;

namespace Pipeline.Data;

/// <summary>Writes a vocabulary in the forms of the Hugging Face tokenizers library and of GPT-2's released files.</summary>
internal static class VocabularyWriter
{
    private static readonly JsonWriterOptions Indented = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static void Save(BpeVocabulary vocabulary, string folder, int? contextLength)
    {
        try
        {
            Directory.CreateDirectory(folder);
            WriteJson(Path.Combine(folder, "tokenizer.json"), json => WriteTokenizer(json, vocabulary));
            WriteJson(Path.Combine(folder, "tokenizer_config.json"), json => WriteConfiguration(json, vocabulary, contextLength));
            WriteJson(Path.Combine(folder, "vocab.json"), json => WriteTokens(json, vocabulary));
            File.WriteAllText(Path.Combine(folder, "merges.txt"), "#version: 0.2\n" + string.Concat(MergesOf(vocabulary).Select(merge => merge + "\n")));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"The tokenizer could not be written to {folder}: {e.Message}", e);
        }
    }

    private static void WriteJson(string path, Action<Utf8JsonWriter> write)
    {
        using FileStream stream = File.Create(path);
        using (Utf8JsonWriter json = new(stream, Indented))
            write(json);
        stream.WriteByte((byte)'\n');
    }

    private static IEnumerable<string> MergesOf(BpeVocabulary vocabulary) => vocabulary.Merges.Select(merge =>
        $"{ByteAlphabet.Spell(vocabulary.BytesOf(merge.Left))} {ByteAlphabet.Spell(vocabulary.BytesOf(merge.Right))}");

    private static void WriteTokens(Utf8JsonWriter json, BpeVocabulary vocabulary)
    {
        json.WriteStartObject();
        for (int token = 0; token < vocabulary.Count; token++)
        {
            if (vocabulary.SpecialNames.TryGetValue(token, out string? name))
                json.WriteNumber(name, token);
            else if (vocabulary.BytesOf(token) is { IsEmpty: false } bytes)
                json.WriteNumber(ByteAlphabet.Spell(bytes), token);
        }
        json.WriteEndObject();
    }

    private static void WriteTokenizer(Utf8JsonWriter json, BpeVocabulary vocabulary)
    {
        json.WriteStartObject();
        json.WriteString("version", "1.0");
        json.WriteNull("truncation");
        json.WriteNull("padding");
        json.WriteStartArray("added_tokens");
        foreach (var (token, name) in vocabulary.SpecialNames.OrderBy(special => special.Key))
            WriteAddedToken(json, token, name);
        json.WriteEndArray();
        json.WriteNull("normalizer");
        WriteByteLevel(json, "pre_tokenizer", addPrefixSpace: false);
        json.WriteNull("post_processor");
        WriteByteLevel(json, "decoder", addPrefixSpace: true);
        WriteModel(json, vocabulary);
        json.WriteEndObject();
    }

    private static void WriteAddedToken(Utf8JsonWriter json, int token, string name)
    {
        json.WriteStartObject();
        json.WriteNumber("id", token);
        json.WriteString("content", name);
        foreach (string property in (string[])["single_word", "lstrip", "rstrip", "normalized"])
            json.WriteBoolean(property, false);
        json.WriteBoolean("special", true);
        json.WriteEndObject();
    }

    private static void WriteByteLevel(Utf8JsonWriter json, string property, bool addPrefixSpace)
    {
        json.WriteStartObject(property);
        json.WriteString("type", "ByteLevel");
        json.WriteBoolean("add_prefix_space", addPrefixSpace);
        json.WriteBoolean("trim_offsets", true);
        json.WriteBoolean("use_regex", true);
        json.WriteEndObject();
    }

    private static void WriteModel(Utf8JsonWriter json, BpeVocabulary vocabulary)
    {
        json.WriteStartObject("model");
        json.WriteString("type", "BPE");
        foreach (string property in (string[])["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"])
            json.WriteNull(property);
        foreach (string property in (string[])["fuse_unk", "byte_fallback", "ignore_merges"])
            json.WriteBoolean(property, false);
        json.WritePropertyName("vocab");
        WriteTokens(json, vocabulary);
        json.WriteStartArray("merges");
        foreach (string merge in MergesOf(vocabulary))
            json.WriteStringValue(merge);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteConfiguration(Utf8JsonWriter json, BpeVocabulary vocabulary, int? contextLength)
    {
        string endOfText = vocabulary.SpecialNames[vocabulary.EndOfText];
        json.WriteStartObject();
        json.WriteString("tokenizer_class", "GPT2Tokenizer");
        json.WriteBoolean("add_prefix_space", false);
        foreach (string property in (string[])["bos_token", "eos_token", "unk_token"])
            json.WriteString(property, endOfText);
        if (contextLength is { } length)
            json.WriteNumber("model_max_length", length);
        json.WriteEndObject();
    }
}
