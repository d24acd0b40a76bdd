namespace Pipeline.Data;

/// <summary>How the documents lie in a file.</summary>
internal enum CorpusFileKind
{
    /// <summary>The whole file is one document.</summary>
    WholeText,

    /// <summary>Documents are separated by blank lines.</summary>
    BlankLineSeparated,

    /// <summary>One JSON object a line, the text in one of its fields.</summary>
    JsonLines,

    /// <summary>The XML reference documentation of an assembly: one document a type.</summary>
    ReferenceDocumentation,
}

/// <param name="Path">Where the file lies.</param>
/// <param name="Name">Its path relative to the corpus, with <c>/</c>: the order of files is the ordinal order of their names.</param>
/// <param name="Kind">How it is cut into documents.</param>
internal sealed record CorpusFile(string Path, string Name, CorpusFileKind Kind)
{
    private static readonly string[] TextExtensions =
        [".txt", ".text", ".md", ".markdown", ".rst", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".html", ".xml", ".tex", ".log"];

    private string Extension => System.IO.Path.GetExtension(Path);

    /// <summary>Whether the name promises text, so that other content is an error and not a file to pass over.</summary>
    public bool PromisesText => TextExtensions.Contains(Extension, StringComparer.OrdinalIgnoreCase);

    public static CorpusFileKind KindOf(string path, CorpusFileKind otherwise) =>
        System.IO.Path.GetExtension(path).ToUpperInvariant() is ".JSONL" or ".NDJSON" ? CorpusFileKind.JsonLines : otherwise;
}
