using System.Text;
using CsCheck;
using Pipeline.Data;
using Xunit;

namespace Pipeline.Tests.Data;

public sealed class CorpusTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static List<Document> Read(string path, string field = "text") =>
        Corpus.Open(new DataSettings { Path = path, TextField = field }).ReadDocuments().ToList();

    private static string ErrorOf(string path, string field = "text") => Assert.Throws<DataException>(() => Read(path, field)).Message;

    [Fact]
    public void A_text_file_is_split_at_blank_lines()
    {
        string path = _folder.Write("play.txt", "\ufeffFirst:\nSpeak.\n\n \t\nSecond:\r\nNo.\r\n\r\n\nThird");
        Assert.Equal(["First:\nSpeak.", "Second:\nNo.", "Third"], Read(path).Select(document => document.Text));
        Assert.Equal(["play.txt#1", "play.txt#2", "play.txt#3"], Read(path).Select(document => document.Name));
    }

    [Fact]
    public void A_folder_is_one_document_a_file_in_ordinal_order_of_names()
    {
        _folder.Write("b.txt", "two\n\nparagraphs");
        _folder.Write("a/z.md", "first");
        _folder.Write("B.code", "capital");
        _folder.Write(".hidden/x.txt", "never");
        _folder.Write("blank.txt", " \n");
        _folder.Write("c.jsonl", "{\"text\":\"three\"}\n\n{\"text\":\"four\"}\n");
        Assert.Equal(["B.code", "a/z.md", "b.txt", "c.jsonl:1", "c.jsonl:3"], Read(_folder.Path).Select(document => document.Name));
        Assert.Equal(["capital", "first", "two\n\nparagraphs", "three", "four"], Read(_folder.Path).Select(document => document.Text));
    }

    [Fact]
    public void A_file_that_promises_no_text_is_passed_over_with_a_notice_in_a_folder()
    {
        _folder.Write("a.txt", "text");
        _folder.Write("picture.png", [1, 0, 2]);
        Corpus corpus = Corpus.Open(new DataSettings { Path = _folder.Path });
        Assert.Equal("text", Assert.Single(corpus.ReadDocuments()).Text);
        Assert.Contains("picture.png", Assert.Single(corpus.Notices), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("*.txt", "a.txt,b.txt")]
    [InlineData("**/*.txt", "a.txt,b.txt,deep/d.txt,deep/er/c.txt")]
    [InlineData("deep/**", "d.txt,er/c.txt")]
    [InlineData("?.txt", "a.txt,b.txt")]
    [InlineData("*/er/*", "deep/er/c.txt")]
    public void A_glob_takes_the_files_that_match(string pattern, string expected)
    {
        foreach (string name in (string[])["b.txt", "a.txt", "e.md", "deep/d.txt", "deep/er/c.txt"])
            _folder.Write(name, "text of " + name);
        Assert.Equal(expected, string.Join(',', Read(_folder.In(pattern)).Select(document => document.Name)));
    }

    [Fact]
    public void Every_json_line_gives_its_field()
    {
        string path = _folder.Write("x.jsonl", """
            {"id": 1, "body": "one é 😀"}
            {"body": "  "}
            {"body": "two\nlines", "id": 2}
            """);
        Assert.Equal(["one é 😀", "two\nlines"], Read(path, "body").Select(document => document.Text));
    }

    [Theory]
    [InlineData("{\"text\": \"a\"}\n{\"body\": \"b\"}", "line 2", "body")]
    [InlineData("\n{\"text\": \"a\"", "line 2", "JSON")]
    [InlineData("{\"text\": 3}", "line 1", "Number")]
    [InlineData("[1]", "line 1", "Array")]
    [InlineData("{\"text\": \"\\ud800\"}", "line 1", "JSON")]
    public void A_json_line_that_does_not_fit_is_named(string content, string line, string what)
    {
        string message = ErrorOf(_folder.Write("x.jsonl", content));
        Assert.Contains(line, message, StringComparison.Ordinal);
        Assert.Contains(what, message, StringComparison.Ordinal);
        Assert.Contains("x.jsonl", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_corpus_is_named_with_the_remedy()
    {
        Assert.Contains("--data", ErrorOf(_folder.In("nowhere.txt")), StringComparison.Ordinal);
        Assert.Contains("--data", ErrorOf(_folder.In("*.nothing")), StringComparison.Ordinal);
        Assert.Contains("--data", ErrorOf(_folder.In("no/folder/*.txt")), StringComparison.Ordinal);
        Directory.CreateDirectory(_folder.In("empty"));
        Assert.Contains("holds no file", ErrorOf(_folder.In("empty")), StringComparison.Ordinal);
    }

    [Fact]
    public void The_first_byte_that_is_no_text_is_named()
    {
        byte[] head = Encoding.UTF8.GetBytes("äb");
        Gen.Select(Gen.Int[0, 700_000], Gen.OneOf<byte[]>([0], [0xFF], [0xC3], [0xE2, 0x82], [0xED, 0xA0, 0x80]), Gen.Bool).Sample((length, fault, isLast) =>
        {
            // Lengths beyond the size of a chunk, with two-byte characters across its end.
            byte[] before = [.. Enumerable.Range(0, length / 3).SelectMany(_ => head)];
            string path = _folder.Write("binary.txt", isLast ? [.. before, .. fault] : [.. before, .. fault, .. head]);
            string message = ErrorOf(path);
            Assert.Contains($"at byte {before.Length} ", message, StringComparison.Ordinal);
            Assert.Contains("binary.txt", message, StringComparison.Ordinal);
        }, iter: 30, threads: 1);
    }

    [Fact]
    public void Long_text_with_characters_across_chunks_is_text()
    {
        string text = string.Concat(Enumerable.Repeat("a漢😀é", 60_000));
        Assert.Equal(text, Assert.Single(Read(_folder.Write("long.txt", text))).Text);
    }

    [Fact]
    public void The_hash_is_of_the_content_and_of_nothing_else()
    {
        _folder.Write("one/a.txt", "same");
        _folder.Write("two/b.txt", "same");
        _folder.Write("three/a.txt", "other");
        string[] hashes = ((string[])["one", "two", "three"]).Select(name => Corpus.Open(new DataSettings { Path = _folder.In(name) }).ContentHash).ToArray();
        Assert.Equal(hashes[0], hashes[1]);
        Assert.NotEqual(hashes[0], hashes[2]);
    }
}
