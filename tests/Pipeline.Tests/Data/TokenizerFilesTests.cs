using System.Text.Json;
using System.Text.Json.Nodes;
using CsCheck;
using Microsoft.ML.Tokenizers;
using Pipeline.Data;
using Xunit;
using BpeTokenizer = Pipeline.Data.BpeTokenizer;
using PreTokenizer = Pipeline.Data.PreTokenizer;

namespace Pipeline.Tests.Data;

public sealed class TokenizerFilesTests : IDisposable
{
    private static readonly BpeTokenizer Trained = BpeTrainer.Train([TextGenerators.Prose(3000), "### ### ==== ==== # # -- naïve café 漢字 漢字 漢字"], 700).Tokenizer;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Microsoft_ML_Tokenizers_loads_our_files_and_gives_the_same_ids()
    {
        Trained.Save(_folder.Path);
        Microsoft.ML.Tokenizers.BpeTokenizer other = LoadWithOther();
        TextGenerators.Unicode.Sample(text =>
        {
            IReadOnlyList<int> expected = other.EncodeToIds(text, considerNormalization: false);
            Assert.Equal(expected, Trained.Encode(text));
            Assert.Equal(text, other.Decode(Trained.Encode(text)));
        }, iter: 2000);
        string prose = TextGenerators.Prose(2000, seed: 3);
        Assert.Equal(other.EncodeToIds(prose), Trained.Encode(prose));
    }

    [SkippableFact]
    public void Real_plays_give_the_ids_that_Microsoft_ML_Tokenizers_gives()
    {
        string? data = Environment.GetEnvironmentVariable("PIPELINE_TEST_DATA");
        Skip.If(string.IsNullOrEmpty(data), "PIPELINE_TEST_DATA names no folder of test data.");
        string path = Path.Combine(data!, "tinyshakespeare", "input.txt");
        Skip.IfNot(File.Exists(path), $"There is no {path}.");
        string text = File.ReadAllText(path);
        BpeTokenizer tokenizer = BpeTrainer.Train([text], 2048).Tokenizer;
        tokenizer.Save(_folder.Path);
        Assert.Equal(LoadWithOther().EncodeToIds(text, considerNormalization: false), tokenizer.Encode(text));
    }

    [Fact]
    public void What_was_saved_loads_as_the_same_tokenizer_from_either_form()
    {
        foreach (ITokenizer tokenizer in (ITokenizer[])[Trained, new ByteTokenizer(), BpeTrainer.Train([], 256).Tokenizer])
        {
            string folder = _folder.In(tokenizer.VocabularySize.ToString(provider: null));
            tokenizer.Save(folder, contextLength: 256);
            AssertSame(tokenizer, TokenizerLoader.Load(folder));
            File.Delete(Path.Combine(folder, "tokenizer.json"));
            AssertSame(tokenizer, TokenizerLoader.Load(folder));
        }
    }

    [Fact]
    public void The_tokenizer_file_has_the_published_form()
    {
        Trained.Save(_folder.Path, contextLength: 128);
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(_folder.In("tokenizer.json")));
        JsonElement root = json.RootElement;
        Assert.Equal("ByteLevel", root.GetProperty("pre_tokenizer").GetProperty("type").GetString());
        Assert.Equal("BPE", root.GetProperty("model").GetProperty("type").GetString());
        Assert.Equal(699, root.GetProperty("added_tokens")[0].GetProperty("id").GetInt32());
        Assert.Equal(700 - 257, root.GetProperty("model").GetProperty("merges").GetArrayLength());
        using JsonDocument configuration = JsonDocument.Parse(File.ReadAllText(_folder.In("tokenizer_config.json")));
        Assert.Equal(128, configuration.RootElement.GetProperty("model_max_length").GetInt32());
        Assert.StartsWith("#version: 0.2\n", File.ReadAllText(_folder.In("merges.txt")), StringComparison.Ordinal);
    }

    [Fact]
    public void Merges_as_pairs_load_as_well()
    {
        Trained.Save(_folder.Path);
        Change(root =>
        {
            JsonArray merges = root["model"]!["merges"]!.AsArray();
            root["model"]!["merges"] = new JsonArray([.. merges.Select(merge =>
                (JsonNode)new JsonArray([.. merge!.GetValue<string>().Split(' ').Select(half => (JsonNode)half)]))]);
        });
        AssertSame(Trained, TokenizerLoader.Load(_folder.Path));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    public void An_end_of_text_anywhere_is_found(int place)
    {
        Dictionary<string, int> vocabulary = SavedVocabulary();
        vocabulary.Remove("<|endoftext|>");
        Dictionary<string, int> shifted = vocabulary.ToDictionary(entry => entry.Key, entry => entry.Value >= place ? entry.Value + 1 : entry.Value);
        shifted["<|endoftext|>"] = place;
        ITokenizer tokenizer = LoadPair("vocab.json", "merges.txt", shifted);
        Assert.Equal(place, tokenizer.EndOfText);
        Assert.Equal(700, tokenizer.VocabularySize);
        Assert.Equal(Trained.Encode("the captains sail").Select(token => token >= place ? token + 1 : token), tokenizer.Encode("the captains sail"));
    }

    [Fact]
    public void A_missing_end_of_text_is_added_after_the_last_token()
    {
        Dictionary<string, int> vocabulary = SavedVocabulary();
        vocabulary.Remove("<|endoftext|>");
        ITokenizer tokenizer = LoadPair("encoder.json", "vocab.bpe", vocabulary);
        AssertSame(Trained, tokenizer);
    }

    [Theory]
    [InlineData("normalizer", """{"type":"Lowercase"}""", "normalizer")]
    [InlineData("pre_tokenizer", """{"type":"Whitespace"}""", "pre_tokenizer.type")]
    [InlineData("pre_tokenizer", """{"type":"ByteLevel","add_prefix_space":true,"use_regex":true}""", "add_prefix_space")]
    [InlineData("model", """{"type":"WordPiece"}""", "model.type")]
    [InlineData("model", """{"type":"BPE","byte_fallback":true,"vocab":{},"merges":[]}""", "byte_fallback")]
    [InlineData("model", """{"type":"BPE","vocab":{"a":0},"merges":["a b"]}""", "merge 0")]
    [InlineData("model", """{"type":"BPE","vocab":{"a":0},"merges":[]}""", "no token for the byte 0x00")]
    [InlineData("model", """{"type":"BPE","vocab":{"a":-3},"merges":[]}""", "-3")]
    [InlineData("added_tokens", """[{"id":1}]""", "cannot be read")]
    public void What_would_encode_otherwise_is_refused_by_name(string property, string value, string expected)
    {
        Trained.Save(_folder.Path);
        Change(root => root[property] = JsonNode.Parse(value));
        Assert.Contains(expected, Assert.Throws<DataException>(() => TokenizerLoader.Load(_folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Damaged_or_missing_files_are_named()
    {
        Assert.Contains("holds no tokenizer", ErrorOfLoad(_folder.Path), StringComparison.Ordinal);
        Assert.Contains("neither auto, bytes nor bpe", ErrorOfLoad("byts"), StringComparison.Ordinal);
        _folder.Write("vocab.json", "{\"a\": ");
        _folder.Write("merges.txt", "");
        Assert.Contains("cannot be read", ErrorOfLoad(_folder.Path), StringComparison.Ordinal);
        Trained.Save(_folder.Path);
        File.Delete(_folder.In("tokenizer.json"));
        File.AppendAllText(_folder.In("merges.txt"), "onlyone\n");
        Assert.Contains("merges.txt: two tokens", ErrorOfLoad(_folder.Path), StringComparison.Ordinal);
    }

    private Microsoft.ML.Tokenizers.BpeTokenizer LoadWithOther() => Microsoft.ML.Tokenizers.BpeTokenizer.Create(
        new BpeOptions(_folder.In("vocab.json"), _folder.In("merges.txt"))
        {
            ByteLevel = true,
            PreTokenizer = new RegexPreTokenizer(new System.Text.RegularExpressions.Regex(PreTokenizer.Pattern), null),
        });

    private static string ErrorOfLoad(string folder) => Assert.Throws<DataException>(() => TokenizerLoader.Load(folder)).Message;

    private void Change(Action<JsonNode> change)
    {
        JsonNode root = JsonNode.Parse(File.ReadAllText(_folder.In("tokenizer.json")))!;
        change(root);
        File.WriteAllText(_folder.In("tokenizer.json"), root.ToJsonString());
    }

    private Dictionary<string, int> SavedVocabulary()
    {
        Trained.Save(_folder.In("saved"));
        return JsonSerializer.Deserialize<Dictionary<string, int>>(File.ReadAllText(_folder.In("saved/vocab.json")))!;
    }

    private ITokenizer LoadPair(string vocabularyName, string mergesName, Dictionary<string, int> vocabulary)
    {
        _folder.Write("pair/" + vocabularyName, JsonSerializer.Serialize(vocabulary));
        File.Copy(_folder.In("saved/merges.txt"), _folder.In("pair/" + mergesName));
        return TokenizerLoader.Load(_folder.In("pair"));
    }

    private static void AssertSame(ITokenizer expected, ITokenizer found)
    {
        Assert.Equal(expected.Hash, found.Hash);
        Assert.Equal(expected.Kind, found.Kind);
        Assert.Equal(expected.VocabularySize, found.VocabularySize);
        Assert.Equal(expected.EndOfText, found.EndOfText);
        Assert.Equal(expected.Encode("the captain's sailing, café 漢字 😀"), found.Encode("the captain's sailing, café 漢字 😀"));
    }
}
