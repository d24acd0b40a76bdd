using System.Buffers.Binary;
using System.IO.Hashing;

namespace Pipeline.Data;

/// <summary>
/// The documents of a text file, a JSONL file, a folder, a glob or the SDK's reference documentation, always in the same order.
/// Opening reads every file once to check and hash it; the documents are read anew each time they are enumerated.
/// </summary>
public sealed class Corpus
{
    private readonly IReadOnlyList<CorpusFile> _files;
    private readonly string _textField;

    private Corpus(string description, IReadOnlyList<CorpusFile> files, string textField, string contentHash, IReadOnlyList<string> notices)
    {
        Description = description;
        _files = files;
        _textField = textField;
        ContentHash = contentHash;
        Notices = notices;
    }

    /// <summary>What the corpus is, for people.</summary>
    public string Description { get; }

    /// <summary>XxHash128 over the kind and content of the files in their order, as 32 hexadecimal digits.</summary>
    public string ContentHash { get; }

    public int FileCount => _files.Count;

    /// <summary>What the user should know, such as files passed over because they hold no text.</summary>
    public IReadOnlyList<string> Notices { get; }

    /// <exception cref="DataException">The corpus is missing, empty, unreadable or binary.</exception>
    public static Corpus Open(DataSettings settings, CancellationToken cancellationToken = default)
    {
        if (string.IsNullOrWhiteSpace(settings.Path))
        {
            ReferenceDocumentation reference = ReferenceDocumentation.Locate();
            return Open(reference.Description, reference.Files, settings.TextField, cancellationToken);
        }
        return Open(settings.Path, CorpusFinder.Find(settings.Path), settings.TextField, cancellationToken);
    }

    /// <exception cref="DataException">A JSONL line has no such field; a file changed since the corpus was opened and is no text any more.</exception>
    public IEnumerable<Document> ReadDocuments() => DocumentReader.Read(_files, _textField);

    internal static Corpus Open(string description, List<CorpusFile> files, string textField, CancellationToken cancellationToken)
    {
        XxHash128 hash = new();
        List<CorpusFile> texts = [];
        List<string> passedOver = [];
        Span<byte> fileHash = stackalloc byte[17];
        foreach (CorpusFile file in files)
        {
            TextScan scan = TextScan.Of(file.Path, cancellationToken);
            if (scan.FaultOffset is not null)
            {
                if (file.PromisesText || files.Count == 1)
                    throw NotText(file, scan);
                passedOver.Add(file.Name);
                continue;
            }
            fileHash[0] = (byte)file.Kind;
            BinaryPrimitives.WriteUInt128LittleEndian(fileHash[1..], scan.Hash);
            hash.Append(fileHash);
            texts.Add(file);
        }
        if (texts.Count == 0)
            throw NotText(files[0], TextScan.Of(files[0].Path, cancellationToken));
        return new Corpus(description, texts, textField, Convert.ToHexStringLower(hash.GetCurrentHash()), NoticesOf(passedOver));
    }

    private static DataException NotText(CorpusFile file, TextScan scan) =>
        new($"{file.Path} is not UTF-8 text: at byte {scan.FaultOffset} it holds {scan.FaultDescription}. "
            + "Convert it to UTF-8 or take it out of the corpus.");

    private static string[] NoticesOf(List<string> passedOver) => passedOver.Count == 0
        ? []
        : [$"{passedOver.Count} files that hold no text are passed over, the first is {passedOver[0]}."];
}
