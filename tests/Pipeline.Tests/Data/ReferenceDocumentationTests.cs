using Pipeline.Data;
using Xunit;

namespace Pipeline.Tests.Data;

public sealed class ReferenceDocumentationTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Tags_go_names_become_short_and_nothing_is_said_twice()
    {
        string path = _folder.Write("A.xml", """
            <?xml version="1.0"?>
            <doc><assembly><name>A</name></assembly><members>
            <member name="T:N.Stack`1"><summary>A last-in, first-out
               <see cref="T:System.Collections.Generic.IList`1" /> of <typeparamref name="T" />   &lt;values&gt;.</summary></member>
            <member name="M:N.Stack`1.#ctor(System.Int32)"><summary>Makes an empty stack.</summary><param name="capacity">The room it has.</param></member>
            <member name="M:N.Stack`1.Pop"><summary><para>Takes the top.</para><para>Then it is gone.</para></summary>
              <exception cref="T:System.InvalidOperationException"><see cref="P:N.Stack`1.Count" /> is below one.</exception>
              <returns><see langword="true" /> or the top.</returns></member>
            <member name="M:N.Stack`1.Pop(System.Int32)"><summary>Takes the top.</summary></member>
            <member name="T:N.Intrinsic"><summary>__m128i _mm_abs_epi8 (__m128i a)</summary></member>
            </members></doc>
            """);
        Document document = Assert.Single(ReferenceDocumentationText.Read(new CorpusFile(path, "A.xml", CorpusFileKind.ReferenceDocumentation), []));
        Assert.Equal("N.Stack`1", document.Name);
        Assert.Equal("""
            Stack

            A last-in, first-out IList of T <values>.

            Stack: Makes an empty stack.
            capacity: The room it has.

            Pop: Takes the top.
            Pop: Then it is gone.
            InvalidOperationException: Stack.Count is below one.
            Returns: true or the top.

            """.ReplaceLineEndings("\n"), document.Text);
    }

    [Fact]
    public void The_newest_release_with_documentation_is_taken()
    {
        foreach (string version in (string[])["9.0.11", "10.0.2", "10.0.12", "11.0.0-preview.1"])
            _folder.Write($"packs/Microsoft.NETCore.App.Ref/{version}/ref/net/{version}.xml", "<doc/>");
        Directory.CreateDirectory(_folder.In("packs/Microsoft.NETCore.App.Ref/12.0.0"));
        Assert.Contains("11.0.0-preview.1", ReferenceDocumentation.Locate([_folder.In("absent"), _folder.Path]).Description, StringComparison.Ordinal);
        Directory.Delete(_folder.In("packs/Microsoft.NETCore.App.Ref/11.0.0-preview.1"), recursive: true);
        ReferenceDocumentation found = ReferenceDocumentation.Locate([_folder.Path]);
        Assert.Equal("10.0.12.xml", Assert.Single(found.Files).Name);
    }

    [Fact]
    public void A_machine_without_documentation_is_told_the_remedy()
    {
        string message = Assert.Throws<DataException>(() => ReferenceDocumentation.Locate([_folder.Path])).Message;
        Assert.Contains(_folder.Path, message, StringComparison.Ordinal);
        Assert.Contains("--data", message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void The_installed_sdk_brings_megabytes_of_english()
    {
        Corpus corpus;
        try
        {
            corpus = Corpus.Open(new DataSettings());
        }
        catch (DataException e)
        {
            throw new SkipException(e.Message, e);
        }
        Document document = corpus.ReadDocuments().First(document => document.Name == "System.Collections.BitArray");
        Assert.StartsWith("BitArray\n\nManages a compact array of bit values", document.Text, StringComparison.Ordinal);
        Assert.True(corpus.FileCount > 50);
    }

    [Theory]
    [InlineData("T:System.String", "System.String", "String", "")]
    [InlineData("T:A.B`2", "A.B`2", "B", "")]
    [InlineData("M:A.B`2.Get``1(System.Int32,`0)", "A.B`2", "B", "Get")]
    [InlineData("M:A.B.#ctor", "A.B", "B", "B")]
    [InlineData("M:A.B.op_Implicit(A.B)~System.Int32", "A.B", "B", "op_Implicit")]
    [InlineData("P:A.B.System#Collections#IList#Item(System.Int32)", "A.B", "B", "Item")]
    [InlineData("NoPrefix", "NoPrefix", "NoPrefix", "")]
    [InlineData("", "", "", "")]
    public void Identifiers_are_taken_apart(string identifier, string fullType, string type, string name) =>
        Assert.Equal(new MemberName(fullType, type, name), MemberName.Parse(identifier));
}
