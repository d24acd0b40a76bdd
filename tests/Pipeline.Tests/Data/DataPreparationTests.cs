using Pipeline.Data;
using Xunit;

namespace Pipeline.Tests.Data;

public sealed class DataPreparationTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private DataSettings Settings(string path) => new() { Path = path, ContextLength = 32, CacheFolder = _folder.In("cache") };

    private string WriteSpeeches(int count)
    {
        for (int i = 0; i < count; i++)
            _folder.Write($"speeches/{i:D3}.txt", $"speech {i} begins. {TextGenerators.Prose(20, seed: i)}");
        return _folder.In("speeches");
    }

    private static string TextOf(PreparedData data, TokenFile file)
    {
        int[] tokens = new int[file.TokenCount];
        file.Read(0, tokens);
        return data.Tokenizer.Decode(tokens);
    }

    [Theory]
    [InlineData("auto")]
    [InlineData("bytes")]
    public void Every_document_is_whole_and_on_one_side(string tokenizer)
    {
        string path = WriteSpeeches(40);
        using PreparedData data = DataPreparation.Prepare(Settings(path) with { Tokenizer = tokenizer }, 400);
        string[] training = TextOf(data, data.Training).Split("<|endoftext|>");
        string[] validation = TextOf(data, data.Validation).Split("<|endoftext|>");
        string[] all = Directory.GetFiles(path).Select(File.ReadAllText).Select(text => text.TrimEnd('\n')).Order(StringComparer.Ordinal).ToArray();
        Assert.Equal(all, training.Concat(validation).Order(StringComparer.Ordinal));
        Assert.Equal(2, validation.Length);
        Assert.Equal(validation.Sum(text => text.Length), data.Validation.TextByteCount);
        Assert.Equal((double)data.Validation.TextByteCount / data.Validation.TokenCount, data.ValidationBytesPerToken);
        Assert.Equal(8 / data.ValidationBytesPerToken, data.BitsPerByte(8 * Math.Log(2)), 1e-12);
    }

    [Fact]
    public void The_tokenizer_learns_from_training_documents_only()
    {
        string path = WriteSpeeches(40);
        using PreparedData data = DataPreparation.Prepare(Settings(path), 400);
        string[] training = TextOf(data, data.Training).Split("<|endoftext|>");
        Assert.Equal(BpeTrainer.Train(training, 400).Tokenizer.Hash, data.Tokenizer.Hash);
    }

    [Fact]
    public void A_lone_document_is_cut_with_a_gap_of_one_context()
    {
        string text = TextGenerators.Prose(400).Trim();
        string path = _folder.Write("one/only.txt", text);
        using PreparedData data = DataPreparation.Prepare(Settings(Path.GetDirectoryName(path)!) with { Tokenizer = "bytes" }, 0);
        string training = TextOf(data, data.Training);
        string validation = TextOf(data, data.Validation);
        Assert.StartsWith(training, text, StringComparison.Ordinal);
        Assert.EndsWith(validation, text, StringComparison.Ordinal);
        Assert.Equal(32, text.Length - training.Length - validation.Length);
        Assert.InRange(validation.Length, text.Length * 0.04, text.Length * 0.05 + 1);
    }

    [Fact]
    public void The_second_time_the_cache_is_taken()
    {
        string path = WriteSpeeches(10);
        Messages first = new();
        Messages second = new();
        using PreparedData one = DataPreparation.Prepare(Settings(path), 300, first);
        using PreparedData other = DataPreparation.Prepare(Settings(path), 300, second);
        Assert.Equal(one.Folder, other.Folder);
        Assert.NotEmpty(first.All);
        Assert.Empty(second.All);
        Assert.Equal(one.Notices, other.Notices);
    }

    [Fact]
    public void Another_text_hold_out_context_or_vocabulary_is_prepared_apart()
    {
        string path = WriteSpeeches(12);
        HashSet<string> folders = [];
        void Add(DataSettings settings, int size)
        {
            using PreparedData data = DataPreparation.Prepare(settings, size);
            Assert.True(folders.Add(data.Folder));
        }
        Add(Settings(path), 300);
        Add(Settings(path), 301);
        Add(Settings(path) with { HoldOut = 0.2 }, 300);
        Add(Settings(path) with { ContextLength = 16 }, 300);
        Add(Settings(path) with { Tokenizer = "bytes" }, 300);
        File.AppendAllText(Path.Combine(path, "000.txt"), "more");
        Add(Settings(path), 300);
    }

    [Fact]
    public async Task Many_who_prepare_the_same_at_once_all_end_with_the_valid_cache()
    {
        string path = WriteSpeeches(30);
        PreparedData[] all = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Task.Run(() => DataPreparation.Prepare(Settings(path), 400))));
        foreach (PreparedData data in all)
        {
            Assert.Equal(all[0].Folder, data.Folder);
            data.Training.Verify();
            data.Validation.Verify();
            data.Dispose();
        }
        Assert.Single(Directory.GetDirectories(_folder.In("cache")));
    }

    [Theory]
    [InlineData("training.tokens")]
    [InlineData("prepared.json")]
    [InlineData("tokenizer.json")]
    public void A_damaged_cache_is_named_and_made_anew(string name)
    {
        string path = WriteSpeeches(10);
        string folder;
        string hash;
        using (PreparedData data = DataPreparation.Prepare(Settings(path), 300))
            (folder, hash) = (data.Folder, data.Training.ContentHash);
        File.WriteAllBytes(Path.Combine(folder, name), File.ReadAllBytes(Path.Combine(folder, name))[..100]);
        Messages messages = new();
        using PreparedData again = DataPreparation.Prepare(Settings(path), 300, messages);
        Assert.Equal(hash, again.Training.ContentHash);
        Assert.Contains(messages.All, message => message.Contains("made anew", StringComparison.Ordinal));
    }

    [Fact]
    public void What_a_killed_preparation_left_is_removed()
    {
        string path = WriteSpeeches(10);
        using PreparedData data = DataPreparation.Prepare(Settings(path), 300);
        string leftover = Path.Combine(_folder.In("cache"), "." + Path.GetFileName(data.Folder) + ".dead");
        Directory.CreateDirectory(leftover);
        File.Delete(Path.Combine(data.Folder, "prepared.json"));
        using PreparedData again = DataPreparation.Prepare(Settings(path), 300);
        Assert.False(Directory.Exists(leftover));
    }

    [Fact]
    public void A_cancelled_preparation_leaves_no_folder()
    {
        string path = WriteSpeeches(10);
        using CancellationTokenSource source = new();
        Messages messages = new() { OnReport = _ => source.Cancel() };
        Assert.Throws<OperationCanceledException>(() => DataPreparation.Prepare(Settings(path), 300, messages, source.Token));
        Assert.Empty(Directory.GetDirectories(_folder.In("cache")));
    }

    [Fact]
    public void A_small_corpus_holds_out_at_least_one_sample_and_says_so()
    {
        string path = _folder.Write("small.txt", string.Join("\n\n", Enumerable.Range(0, 30).Select(i => $"piece {i} of text")));
        using PreparedData data = DataPreparation.Prepare(Settings(path) with { Tokenizer = "bytes" }, 0);
        Assert.True(data.Validation.TokenCount > 32);
        Assert.Contains(data.Notices, notice => notice.Contains("instead of", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("too short", "bytes")]
    [InlineData("one word here\n\nanother piece there is, and no more of it but this small rest", "bytes")]
    [InlineData("aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa aaaa", "bpe")]
    public void A_corpus_shorter_than_a_sample_is_refused(string text, string tokenizer)
    {
        string path = _folder.Write("short.txt", text);
        string message = Assert.Throws<DataException>(() => DataPreparation.Prepare(Settings(path) with { Tokenizer = tokenizer }, 300)).Message;
        Assert.Contains("shorter than a sample", message, StringComparison.Ordinal);
        Assert.Contains("pipeline.model.context", message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_empty_corpus_is_refused() =>
        Assert.Contains("is empty", Assert.Throws<DataException>(() => DataPreparation.Prepare(Settings(_folder.Write("empty.txt", "\n \n")), 300)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_tokenizer_that_does_not_fit_the_model_is_refused()
    {
        string path = WriteSpeeches(5);
        BpeTrainer.Train([TextGenerators.Prose(500)], 500).Tokenizer.Save(_folder.In("tokenizer"));
        Assert.Contains("500 tokens", ErrorOf(Settings(path) with { Tokenizer = _folder.In("tokenizer") }, 400), StringComparison.Ordinal);
        Assert.Contains("257 tokens", ErrorOf(Settings(path) with { Tokenizer = "bytes" }, 100), StringComparison.Ordinal);
        Assert.Contains("vocabulary-size is 500", ErrorOf(Settings(path) with { VocabularySize = 500 }, 400), StringComparison.Ordinal);
        Assert.Contains("cannot be trained", ErrorOf(Settings(path), 50_000), StringComparison.Ordinal);
        using PreparedData data = DataPreparation.Prepare(Settings(path) with { Tokenizer = _folder.In("tokenizer") }, 512);
        Assert.Equal(500, data.Tokenizer.VocabularySize);
    }

    [Fact]
    public void A_cache_that_cannot_be_written_is_named()
    {
        string path = WriteSpeeches(5);
        string file = _folder.Write("file", "not a folder");
        Assert.Contains("--cache", ErrorOf(Settings(path) with { CacheFolder = Path.Combine(file, "below") }, 300), StringComparison.Ordinal);
    }

    private static string ErrorOf(DataSettings settings, int size) => Assert.Throws<DataException>(() => DataPreparation.Prepare(settings, size)).Message;

    private sealed class Messages : IProgress<string>
    {
        public List<string> All { get; } = [];

        public Action<string> OnReport { get; init; } = _ => { };

        public void Report(string value)
        {
            All.Add(value);
            OnReport(value);
        }
    }
}
