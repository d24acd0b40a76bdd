using CsCheck;
using Pipeline.Data;
using Xunit;

namespace Pipeline.Tests.Data;

public sealed class TokenFileTests : IDisposable
{
    private static readonly ByteTokenizer Bytes = new();

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string WriteFile(string name, params string[] documents)
    {
        string path = _folder.In(name);
        using TokenFileWriter writer = new(path, Bytes);
        foreach (string document in documents)
            writer.AddDocument(Bytes.Encode(document));
        writer.Complete();
        return path;
    }

    private static int[] ReadAll(TokenFile file)
    {
        int[] tokens = new int[file.TokenCount];
        file.Read(0, tokens);
        return tokens;
    }

    [Fact]
    public void Documents_come_back_with_the_end_of_text_between_them() =>
        TextGenerators.Unicode.Where(text => text.Length > 0).Array[1, 6].Sample(documents =>
        {
            using TokenFile file = TokenFile.Open(WriteFile("a.tokens", documents));
            Assert.Equal(string.Join("<|endoftext|>", documents), Bytes.Decode(ReadAll(file)));
            Assert.Equal(documents.Length, file.DocumentCount);
            Assert.Equal(documents.Sum(System.Text.Encoding.UTF8.GetByteCount), file.TextByteCount);
            Assert.Equal(file.TextByteCount + documents.Length - 1, file.TokenCount);
            long start = 0;
            for (int i = 0; i < documents.Length; i++)
            {
                Assert.Equal(start, file.DocumentStart(i));
                start += System.Text.Encoding.UTF8.GetByteCount(documents[i]) + 1;
            }
            Assert.Equal(Bytes.Hash, file.TokenizerHash);
            file.Verify();
        }, iter: 50, threads: 1);

    [Fact]
    public void A_vocabulary_beyond_16_bits_takes_32()
    {
        WideTokenizer wide = new();
        using (TokenFileWriter writer = new(_folder.In("wide.tokens"), wide))
        {
            writer.AddDocument([0, 65_536, 70_000]);
            writer.Complete();
        }
        using TokenFile file = TokenFile.Open(_folder.In("wide.tokens"));
        Assert.Equal(4, file.TokenBytes);
        long[] tokens = new long[2];
        file.Read(1, tokens);
        Assert.Equal([65_536L, 70_000L], tokens);
        Assert.Equal([0, 65_536, 70_000], ReadAll(file));
        file.Verify();
    }

    [Fact]
    public void Any_part_can_be_read_and_nothing_beyond()
    {
        using TokenFile file = TokenFile.Open(WriteFile("a.tokens", "abcdefgh"));
        int[] part = new int[3];
        file.Read(5, part);
        Assert.Equal("fgh", Bytes.Decode(part));
        file.Read(8, Array.Empty<int>());
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Read(6, part));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Read(-1, part));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Read(long.MaxValue, part));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.DocumentStart(1));
    }

    [Fact]
    public void A_file_cut_or_lengthened_anywhere_is_refused_by_name()
    {
        byte[] whole = File.ReadAllBytes(WriteFile("a.tokens", "some text", "more"));
        Gen.Int[0, whole.Length + 9].Where(length => length != whole.Length).Sample(length =>
        {
            byte[] other = new byte[length];
            whole.AsSpan(0, Math.Min(length, whole.Length)).CopyTo(other);
            string message = Assert.Throws<DataException>(() => TokenFile.Open(_folder.Write("cut.tokens", other))).Message;
            Assert.Contains("cut.tokens", message, StringComparison.Ordinal);
            Assert.Contains("prepare the corpus again", message, StringComparison.Ordinal);
        }, threads: 1);
    }

    [Fact]
    public void A_bit_altered_anywhere_is_found_on_opening_or_by_verifying()
    {
        byte[] whole = File.ReadAllBytes(WriteFile("a.tokens", "some text", "more"));
        Gen.Select(Gen.Int[0, whole.Length - 1], Gen.Int[0, 7]).Sample((index, bit) =>
        {
            byte[] other = [.. whole];
            other[index] ^= (byte)(1 << bit);
            string path = _folder.Write("altered.tokens", other);
            Assert.Throws<DataException>(() =>
            {
                using TokenFile file = TokenFile.Open(path);
                file.Verify();
            });
        }, iter: 300, threads: 1);
    }

    [Fact]
    public void Another_version_is_named()
    {
        byte[] whole = File.ReadAllBytes(WriteFile("a.tokens", "text"));
        whole[8] = 9;
        Assert.Contains("version 9, version 1 is expected",
            Assert.Throws<DataException>(() => TokenFile.Open(_folder.Write("new.tokens", whole))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_was_not_completed_leaves_nothing()
    {
        using (TokenFileWriter writer = new(_folder.In("half.tokens"), Bytes))
            writer.AddDocument([1, 2, 3]);
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void A_closed_file_is_not_read()
    {
        TokenFile file = TokenFile.Open(WriteFile("a.tokens", "text"));
        file.Dispose();
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => file.Read(0, new int[1]));
    }

    private sealed class WideTokenizer : ITokenizer
    {
        public string Kind => "wide";
        public int VocabularySize => 70_001;
        public int EndOfText => 70_000;
        public string Hash => new('1', 32);
        public int[] Encode(string text) => [];
        public string Decode(ReadOnlySpan<int> tokens) => "";
        public ReadOnlySpan<byte> BytesOf(int token) => "x"u8;
        public void Save(string folder, int? contextLength = null) => throw new NotSupportedException();
    }
}
