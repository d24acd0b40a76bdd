using CsCheck;
using Pipeline.Data;
using Xunit;

namespace Pipeline.Tests.Data;

public sealed class SampleTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_permutation_meets_every_index_once() =>
        Gen.Select(Gen.ULong, Gen.Long[1, 3000]).Sample((key, count) =>
        {
            IndexPermutation permutation = new(key, count);
            bool[] isMet = new bool[count];
            for (long i = 0; i < count; i++)
                isMet[permutation[i]] = true;
            Assert.DoesNotContain(false, isMet);
        });

    [Fact]
    public void A_permutation_of_a_huge_range_stays_inside_and_does_not_meet_itself()
    {
        IndexPermutation permutation = new(5, long.MaxValue);
        HashSet<long> met = [];
        for (long i = 0; i < 1000; i++)
            Assert.True(met.Add(permutation[i]));
        Assert.All(met, value => Assert.InRange(value, 0, long.MaxValue - 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => permutation[-1]);
    }

    [Fact]
    public void Every_epoch_has_each_window_of_its_grid_once_in_an_order_of_its_own() =>
        Gen.Select(Gen.Int[1, 64], Gen.Long[65, 5000], Gen.ULong, Gen.Long[0, 1000]).Sample((context, tokenCount, seed, epoch) =>
        {
            SampleIndex index = new(tokenCount, context);
            long[] offsets = Enumerable.Range(0, (int)index.SamplesPerEpoch).Select(i => index.SampleAt(seed, epoch, i)).ToArray();
            Assert.All(offsets, offset => Assert.InRange(offset, 0, tokenCount - context - 1));
            long[] sorted = [.. offsets.Order()];
            for (int i = 1; i < sorted.Length; i++)
                Assert.Equal(context, sorted[i] - sorted[i - 1]);
            if (sorted.Length >= 20)
                Assert.NotEqual(offsets, Enumerable.Range(0, offsets.Length).Select(i => index.SampleAt(seed, epoch + 1, i)));
        });

    [Fact]
    public void Almost_all_tokens_are_targets_in_each_epoch()
    {
        SampleIndex index = new(1_000_000, 256);
        Assert.InRange(index.SamplesPerEpoch * 256, 1_000_000 - (2 * 256), 1_000_000);
    }

    [Fact]
    public void A_sample_is_a_pure_function_of_its_position() =>
        Gen.Select(Gen.ULong, Gen.Long[0, 50], Gen.Int[1, 24]).Sample((seed, epoch, context) =>
        {
            SampleIndex one = new(2000, context);
            SampleIndex other = new(2000, context);
            long[] forwards = Enumerable.Range(0, 30).Select(i => one.SampleAt(seed, epoch, i)).ToArray();
            long[] backwards = Enumerable.Range(0, 30).Reverse().Select(i => other.SampleAt(seed, epoch, i)).Reverse().ToArray();
            Assert.Equal(forwards, backwards);
        });

    [Fact]
    public void Steps_walk_through_epochs_without_gap_or_repetition() =>
        Gen.Select(Gen.Long[100, 2000], Gen.Int[1, 40]).Sample((tokenCount, samplesPerStep) =>
        {
            SampleIndex index = new(tokenCount, 16);
            long expected = 0;
            for (long step = 0; step < 12; step++)
            {
                for (int position = 0; position < samplesPerStep; position++, expected++)
                {
                    Assert.Equal(expected, SampleIndex.GlobalSample(step, position, samplesPerStep));
                    Assert.Equal(new SamplePosition(expected / index.SamplesPerEpoch, expected % index.SamplesPerEpoch), index.PositionOf(step, position, samplesPerStep));
                }
            }
        });

    [Theory]
    [InlineData(16, 16)]
    [InlineData(0, 1)]
    public void Fewer_tokens_than_a_sample_are_refused(long tokenCount, int context) =>
        Assert.Contains("shorter than a sample", Assert.Throws<DataException>(() => new SampleIndex(tokenCount, context)).Message, StringComparison.Ordinal);

    [Fact]
    public void The_shortest_corpus_has_one_sample()
    {
        SampleIndex index = new(17, 16);
        Assert.Equal(1, index.SamplesPerEpoch);
        Assert.Equal(0, index.SampleAt(1, 0, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => index.SampleAt(1, 0, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => index.SampleAt(1, -1, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => index.PositionOf(0, 4, 4));
    }

    [Fact]
    public void A_batch_read_at_once_is_its_samples_read_one_by_one()
    {
        using TokenFile tokens = WriteNumbers(1000);
        SampleSource source = new(tokens, 10, seed: 42);
        long[] batch = new long[4 * 11];
        source.Read(7, 2, 8, batch);
        int[] narrow = new int[4 * 11];
        source.Read(7, 2, 8, narrow);
        Assert.Equal(batch, narrow.Select(token => (long)token));
        for (int i = 0; i < 4; i++)
        {
            int[] window = new int[11];
            tokens.Read(source.OffsetOf(7, 2 + i, 8), window);
            Assert.Equal(window, narrow[(i * 11)..((i + 1) * 11)]);
        }
        Assert.Throws<ArgumentException>(() => source.Read(0, 0, 8, new long[12]));
    }

    [Fact]
    public void Validation_windows_follow_one_another()
    {
        using TokenFile tokens = WriteNumbers(25);
        ValidationWindows windows = new(tokens, 8);
        Assert.Equal(3, windows.Count);
        long[] window = new long[9];
        windows.Read(2, window);
        Assert.Equal(Enumerable.Range(16, 9).Select(value => (long)value), window);
        Assert.Throws<ArgumentOutOfRangeException>(() => windows.ValidationWindow(3));
        Assert.Throws<DataException>(() => new ValidationWindows(tokens, 25));
    }

    private TokenFile WriteNumbers(int count)
    {
        string path = _folder.In("numbers.tokens");
        using (TokenFileWriter writer = new(path, new ByteTokenizer()))
        {
            writer.AddDocument(Enumerable.Range(0, count).Select(i => i % 256).ToArray());
            writer.Complete();
        }
        return TokenFile.Open(path);
    }
}
