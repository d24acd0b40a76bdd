using System.Text.Json;
using CsCheck;
using Pipeline.Data;
using Xunit;

namespace Pipeline.Tests.Data;

public sealed class InspectionTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Probabilities_of_a_trigram_model_are_positive_and_sum_to_one() =>
        Gen.Select(Gen.Int[0, 7].Array[0, 200], Gen.Int[0, 9], Gen.Int[0, 9]).Sample((tokens, first, second) =>
        {
            KneserNeyTrigram model = new(tokens, 10);
            double[] probabilities = Enumerable.Range(0, 10).Select(token => model.Probability(first, second, token)).ToArray();
            Assert.All(probabilities, probability => Assert.True(probability > 0));
            Assert.Equal(1, probabilities.Sum(), 1e-12);
        });

    [Fact]
    public void A_trigram_model_gives_what_the_formula_gives_by_hand()
    {
        // 0 1 2 0 1 2 0 1 3: trigrams 012 ×2, 120 ×2, 201 ×2, 013 ×1, so D₃ = 1 / (1 + 2·3) = 1/7.
        // Each of the pairs 12, 20, 01, 13 follows one token: D₂ = 4 / 4 = 1. Each token follows one: 0, 1, 2, 3: D₁ = 1.
        KneserNeyTrigram model = new([0, 1, 2, 0, 1, 2, 0, 1, 3], 5);
        double unigram = ((1 - 1) + (1 * 4 * (1 / 5.0))) / 4;
        double bigram = ((1 - 1) + (1 * 2 * unigram)) / 2;
        Assert.Equal(((2 - (1 / 7.0)) + (1 / 7.0 * 2 * bigram)) / 3, model.Probability(0, 1, 2), 1e-12);
        Assert.Equal(unigram, model.Probability(4, 4, 4), 1e-12);
    }

    [Fact]
    public void A_unigram_counts_with_one_added()
    {
        double expected = -(Math.Log(3 / 7.0) + Math.Log(1 / 7.0)) / 2;
        Assert.Equal(expected, NgramBaseline.UnigramLoss([0, 0, 1], [0, 3], vocabularySize: 4), 1e-12);
    }

    [Fact]
    public void An_inspection_tells_what_was_prepared_and_prints_as_json()
    {
        for (int i = 0; i < 40; i++)
            _folder.Write($"text/{i:D2}.txt", TextGenerators.Prose(40, seed: i));
        using PreparedData data = DataPreparation.Prepare(
            new DataSettings { Path = _folder.In("text"), ContextLength = 32, CacheFolder = _folder.In("cache") }, 500);
        DataInspection inspection = DataInspection.Of(data, 32, seed: 1, sampleCount: 2);
        Assert.Equal(40, inspection.Training.DocumentCount + inspection.Validation.DocumentCount);
        Assert.InRange(inspection.Training.UsedTokenCount, 100, 500);
        Assert.Equal(2, inspection.Samples.Count);
        Assert.All(inspection.Samples, sample => Assert.Equal(data.Tokenizer.Decode([.. sample.Tokens]), sample.Text));
        Assert.True(inspection.Baseline.TrigramNats < inspection.Baseline.UnigramNats);
        Assert.Equal(data.BitsPerByte(inspection.Baseline.TrigramNats), inspection.Baseline.TrigramBitsPerByte);
        Assert.Contains("TrigramBitsPerByte", JsonSerializer.Serialize(inspection), StringComparison.Ordinal);
    }
}
