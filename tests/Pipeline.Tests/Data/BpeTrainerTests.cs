using System.Text;
using CsCheck;
using Pipeline.Data;
using Xunit;

namespace Pipeline.Tests.Data;

public sealed class BpeTrainerTests
{
    [Fact]
    public void Finds_the_merges_that_counting_everything_anew_after_each_merge_finds() =>
        Gen.Select(TextGenerators.Repetitive.Array[1, 6], Gen.Int[256, 300]).Sample((texts, size) =>
        {
            BpeTraining training = BpeTrainer.Train(texts, size);
            List<byte[]> expected = NaiveTokens(texts, size);
            Assert.Equal(expected.Count + 1, training.Tokenizer.VocabularySize);
            for (int token = 0; token < expected.Count; token++)
                Assert.Equal(expected[token], training.Tokenizer.BytesOf(token).ToArray());
            Assert.Equal(training.Tokenizer.VocabularySize < size, training.Notice is not null);
        }, iter: 300);

    [Fact]
    public void The_order_of_texts_does_not_matter() =>
        Gen.Select(TextGenerators.Unicode.Array[1, 8], Gen.Int[256, 320]).Sample((texts, size) =>
            BpeTrainer.Train(texts, size).Tokenizer.Hash == BpeTrainer.Train(texts.Reverse(), size).Tokenizer.Hash, iter: 100);

    [Theory]
    [InlineData(256)]
    [InlineData(257)]
    [InlineData(300)]
    [InlineData(400)]
    public void The_vocabulary_has_the_size_asked_for_with_the_end_of_text_last(int size)
    {
        BpeTraining training = BpeTrainer.Train([TextGenerators.Prose(300)], size);
        Assert.Null(training.Notice);
        Assert.Equal(size, training.Tokenizer.VocabularySize);
        Assert.Equal(size - 1, training.Tokenizer.EndOfText);
        string text = "Völlig neuer Text, 漢字 😀 \u0000";
        Assert.Equal(text, training.Tokenizer.Decode(training.Tokenizer.Encode(text)));
    }

    [Fact]
    public void Text_that_runs_out_of_pairs_stops_early_with_a_notice()
    {
        BpeTraining training = BpeTrainer.Train(["abab abab", " cd"], 4096);
        Assert.Contains("instead of 4096", training.Notice, StringComparison.Ordinal);
        Assert.InRange(training.Tokenizer.VocabularySize, 258, 262);
    }

    [Theory]
    [InlineData(255)]
    [InlineData(32_769)]
    public void Sizes_out_of_range_are_refused(int size) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => BpeTrainer.Train(["text"], size));

    [Fact]
    public void A_cancelled_training_ends() =>
        Assert.Throws<OperationCanceledException>(() => BpeTrainer.Train(["text text"], 300, cancellationToken: new CancellationToken(canceled: true)));

    // Sennrich et al. 2016, algorithm 1, word for word.
    private static List<byte[]> NaiveTokens(string[] texts, int size)
    {
        List<List<int>> words = [];
        foreach (string text in texts)
        {
            foreach (var match in PreTokenizer.WordsOf(text))
                words.Add(Encoding.UTF8.GetBytes(text.Substring(match.Index, match.Length)).Select(value => (int)value).ToList());
        }
        List<byte[]> tokens = BpeVocabulary.Bytes(Math.Min(256, size - 1));
        while (tokens.Count < size - 1)
        {
            var best = words.SelectMany(word => word.Zip(word.Skip(1)))
                .GroupBy(pair => pair)
                .Where(group => group.Count() >= 2)
                .OrderByDescending(group => group.Count()).ThenBy(group => group.Key.First).ThenBy(group => group.Key.Second)
                .FirstOrDefault();
            if (best is null)
                return tokens;
            foreach (List<int> word in words)
            {
                for (int i = 0; i + 1 < word.Count; i++)
                {
                    if (word[i] != best.Key.First || word[i + 1] != best.Key.Second)
                        continue;
                    word[i] = tokens.Count;
                    word.RemoveAt(i + 1);
                }
            }
            tokens.Add([.. tokens[best.Key.First], .. tokens[best.Key.Second]]);
        }
        return tokens;
    }
}
