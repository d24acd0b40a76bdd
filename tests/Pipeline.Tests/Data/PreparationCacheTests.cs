using Pipeline.Data;
using Xunit;

namespace Pipeline.Tests.Data;

public sealed class PreparationCacheTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _prepared;

    public PreparationCacheTests()
    {
        string path = _folder.Write("text.txt", TextGenerators.Prose(200).Replace(". ", ".\n\n", StringComparison.Ordinal));
        using PreparedData data = DataPreparation.Prepare(
            new DataSettings { Path = path, Tokenizer = "bytes", ContextLength = 16, CacheFolder = _folder.In("other") }, 0);
        _prepared = data.Folder;
    }

    public void Dispose() => _folder.Dispose();

    private static void Copy(string source, string target)
    {
        Directory.CreateDirectory(target);
        foreach (string file in Directory.GetFiles(source))
            File.Copy(file, Path.Combine(target, Path.GetFileName(file)), overwrite: true);
    }

    [Fact]
    public void Where_no_lock_holds_the_one_who_renamed_first_wins_and_ours_is_dropped()
    {
        PreparationCache cache = new(_folder.In("cache"), "key");
        using PreparedData data = cache.OpenOrPrepare(aside =>
        {
            Copy(_prepared, aside);
            Copy(_prepared, cache.Folder);
        }, progress: null, CancellationToken.None);
        Assert.Equal(cache.Folder, data.Folder);
        Assert.Single(Directory.GetDirectories(_folder.In("cache")));
    }

    [Fact]
    public void What_another_left_damaged_meanwhile_is_replaced()
    {
        PreparationCache cache = new(_folder.In("cache"), "key");
        using PreparedData data = cache.OpenOrPrepare(aside =>
        {
            Copy(_prepared, aside);
            Directory.CreateDirectory(cache.Folder);
        }, progress: null, CancellationToken.None);
        data.Training.Verify();
        Assert.Single(Directory.GetDirectories(_folder.In("cache")));
    }

    [Fact]
    public void A_preparation_that_fails_leaves_nothing_behind()
    {
        PreparationCache cache = new(_folder.In("cache"), "key");
        Assert.Throws<DataException>(() => cache.OpenOrPrepare(_ => throw new DataException("no text"), progress: null, CancellationToken.None));
        Assert.Empty(Directory.GetDirectories(_folder.In("cache")));
    }

    [Fact]
    public async Task Waiting_for_the_lock_ends_when_cancelled()
    {
        PreparationCache cache = new(_folder.In("cache"), "key");
        using CancellationTokenSource source = new();
        using ManualResetEventSlim isHeld = new();
        using ManualResetEventSlim mayEnd = new();
        Task<PreparedData> holder = Task.Run(() => cache.OpenOrPrepare(aside =>
        {
            isHeld.Set();
            mayEnd.Wait();
            Copy(_prepared, aside);
        }, progress: null, CancellationToken.None));
        isHeld.Wait();
        CancelOnReport waiting = new(source);
        Assert.Throws<OperationCanceledException>(() => cache.OpenOrPrepare(_ => Assert.Fail("The lock is held."), waiting, source.Token));
        mayEnd.Set();
        (await holder).Dispose();
    }

    private sealed class CancelOnReport(CancellationTokenSource source) : IProgress<string>
    {
        public void Report(string value) => source.Cancel();
    }
}
