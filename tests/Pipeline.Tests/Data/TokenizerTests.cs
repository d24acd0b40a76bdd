using System.Text;
using CsCheck;
using Pipeline.Data;
using Xunit;

namespace Pipeline.Tests.Data;

public sealed class TokenizerTests
{
    private static readonly BpeTokenizer Trained = BpeTrainer.Train([TextGenerators.Prose(2000), "### ==== -- naïve café 漢字"], 600).Tokenizer;

    [Fact]
    public void Any_text_comes_back() => TextGenerators.Unicode.Sample(text =>
    {
        foreach (ITokenizer tokenizer in (ITokenizer[])[Trained, new ByteTokenizer()])
        {
            int[] tokens = tokenizer.Encode(text);
            Assert.Equal(text, tokenizer.Decode(tokens));
            Assert.DoesNotContain(tokenizer.EndOfText, tokens);
            Assert.All(tokens, token => Assert.InRange(token, 0, tokenizer.VocabularySize - 1));
        }
    });

    [Fact]
    public void Encoding_merges_as_the_definition_says() => TextGenerators.Unicode.Sample(text =>
    {
        List<int> expected = [];
        foreach (var word in PreTokenizer.WordsOf(text))
            expected.AddRange(NaiveEncode(Encoding.UTF8.GetBytes(text.Substring(word.Index, word.Length))));
        Assert.Equal(expected, Trained.Encode(text));
    });

    [Fact]
    public void A_long_run_without_spaces_is_encoded_in_reasonable_time()
    {
        string text = string.Concat(Enumerable.Repeat("whalesail", 40_000));
        Assert.Equal(text, Trained.Decode(Trained.Encode(text)));
    }

    [Fact]
    public void Many_threads_encode_alike()
    {
        BpeTokenizer fresh = BpeTrainer.Train([TextGenerators.Prose(500)], 500).Tokenizer;
        string text = TextGenerators.Prose(500, seed: 7);
        int[][] all = new int[8][];
        Parallel.For(0, all.Length, i => all[i] = fresh.Encode(text));
        Assert.All(all, tokens => Assert.Equal(all[0], tokens));
    }

    [Fact]
    public void The_end_of_text_decodes_to_its_name_but_its_name_is_text()
    {
        foreach (ITokenizer tokenizer in (ITokenizer[])[Trained, new ByteTokenizer()])
        {
            Assert.Equal("a<|endoftext|>b", tokenizer.Decode([.. tokenizer.Encode("a"), tokenizer.EndOfText, .. tokenizer.Encode("b")]));
            Assert.NotEqual([tokenizer.EndOfText], tokenizer.Encode("<|endoftext|>"));
        }
    }

    [Fact]
    public void A_token_outside_of_the_vocabulary_is_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Trained.Decode([600]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ByteTokenizer().Decode([-1]));
    }

    [Fact]
    public void Bytes_have_257_tokens_of_their_own_number()
    {
        ByteTokenizer tokenizer = new();
        Assert.Equal(257, tokenizer.VocabularySize);
        Assert.Equal(256, tokenizer.EndOfText);
        Assert.Equal([0x41, 0xC3, 0xA9], tokenizer.Encode("Aé"));
        Assert.Equal("A\ufffd", tokenizer.Decode([0x41, 0xC3]));
    }

    // Find the lowest rank in the word, merge all its occurrences from left to right, again until none is left.
    private static List<int> NaiveEncode(byte[] word)
    {
        List<int> symbols = word.Select(value => (int)value).ToList();
        while (true)
        {
            int best = int.MaxValue;
            for (int i = 0; i + 1 < symbols.Count; i++)
                best = Math.Min(best, ResultOf(symbols[i], symbols[i + 1]));
            if (best == int.MaxValue)
                return symbols;
            for (int i = 0; i + 1 < symbols.Count; i++)
            {
                if (ResultOf(symbols[i], symbols[i + 1]) != best)
                    continue;
                symbols[i] = best;
                symbols.RemoveAt(i + 1);
            }
        }
    }

    private static readonly Dictionary<string, int> FirstTokenOfPair = MakePairs();

    // Merge number n made token 256 + n: the result stands for the rank. The halves are found again by encoding the bytes.
    private static Dictionary<string, int> MakePairs()
    {
        using TemporaryFolder folder = new();
        Trained.Save(folder.Path);
        string[] merges = File.ReadAllLines(folder.In("merges.txt"));
        Dictionary<string, int> vocabulary = System.Text.Json.JsonSerializer.Deserialize<Dictionary<string, int>>(File.ReadAllText(folder.In("vocab.json")))!;
        return merges.Skip(1).Select(line => line.Split(' ')).ToDictionary(
            pair => $"{vocabulary[pair[0]]} {vocabulary[pair[1]]}", pair => vocabulary[pair[0] + pair[1]]);
    }

    private static int ResultOf(int left, int right) => FirstTokenOfPair.GetValueOrDefault($"{left} {right}", int.MaxValue);
}
