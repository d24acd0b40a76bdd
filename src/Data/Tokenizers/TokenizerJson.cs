using System.Text.Json;

namespace Pipeline.Data;

/// <summary>
/// Reads <c>tokenizer.json</c> of the Hugging Face tokenizers library. Whatever would make that library encode text otherwise than
/// GPT-2's byte-level BPE (normalizers, other pre-tokenizers, fallbacks, dropout) is refused by name, not ignored.
/// </summary>
internal static class TokenizerJson
{
    public static BpeVocabulary Read(string path)
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(path));
        VocabularyBuilder builder = new(path);
        JsonElement root = json.RootElement;
        if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("model", out JsonElement model) || model.ValueKind != JsonValueKind.Object)
            throw builder.Fault("an object with a field \"model\" is expected");
        CheckForm(root, model, builder);
        if (!model.TryGetProperty("vocab", out JsonElement vocabulary) || !model.TryGetProperty("merges", out JsonElement merges) || merges.ValueKind != JsonValueKind.Array)
            throw builder.Fault("model.vocab and model.merges are expected");
        builder.AddTokens(vocabulary);
        AddMerges(builder, merges);
        if (root.TryGetProperty("added_tokens", out JsonElement added) && added.ValueKind == JsonValueKind.Array)
        {
            foreach (JsonElement token in added.EnumerateArray())
                builder.AddSpecial(token.GetProperty("content").GetString() ?? "", token.GetProperty("id"));
        }
        return builder.Build();
    }

    private static void CheckForm(JsonElement root, JsonElement model, VocabularyBuilder builder)
    {
        Expect(model, "type", "BPE", "model.type");
        if (!root.TryGetProperty("pre_tokenizer", out JsonElement pre) || pre.ValueKind != JsonValueKind.Object)
            throw builder.Fault("the pre_tokenizer ByteLevel is expected, as in GPT-2");
        Expect(pre, "type", "ByteLevel", "pre_tokenizer.type");
        Expect(pre, "add_prefix_space", "False", "pre_tokenizer.add_prefix_space");
        if (pre.TryGetProperty("use_regex", out _))
            Expect(pre, "use_regex", "True", "pre_tokenizer.use_regex");
        foreach (JsonElement holder in (JsonElement[])[root, model])
        {
            foreach (string name in (string[])["normalizer", "dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"])
            {
                if (holder.TryGetProperty(name, out JsonElement value) && !IsOff(value))
                    throw builder.Fault($"{name} is {value.GetRawText()}: only GPT-2's byte-level BPE without it can be used");
            }
        }

        void Expect(JsonElement holder, string name, string expected, string path)
        {
            string found = holder.TryGetProperty(name, out JsonElement value) ? value.ToString() : "missing";
            if (found != expected)
                throw builder.Fault($"{path} is {found}: only GPT-2's byte-level BPE ({expected}) can be used");
        }
    }

    private static bool IsOff(JsonElement value) =>
        value.ValueKind is JsonValueKind.Null or JsonValueKind.False || (value.ValueKind == JsonValueKind.String && value.GetString() == "");

    // Merges come as "a b" or as ["a", "b"].
    private static void AddMerges(VocabularyBuilder builder, JsonElement merges)
    {
        int rank = 0;
        foreach (JsonElement merge in merges.EnumerateArray())
        {
            string place = $"merge {rank++}";
            if (merge.ValueKind == JsonValueKind.String)
                builder.AddMerge(merge.GetString() ?? "", place);
            else if (merge.ValueKind == JsonValueKind.Array && merge.GetArrayLength() == 2)
                builder.AddMerge(merge[0].GetString() ?? "", merge[1].GetString() ?? "", place);
            else
                throw builder.Fault($"{place} is {merge.GetRawText()}: two tokens are expected");
        }
    }
}
