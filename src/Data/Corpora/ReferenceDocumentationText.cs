using System.Text;
using System.Xml;
using System.Xml.Linq;

namespace Pipeline.Data;

/// <summary>
/// Turns the XML documentation of an assembly into English: one document a type, with its members in the file's order. Tags go,
/// references become short names, white space is normalised, a line that was said before in the corpus is not said again, and
/// lines that are mostly machine code (the signatures of processor intrinsics) are left out.
/// </summary>
internal static class ReferenceDocumentationText
{
    /// <summary>Raised whenever the text made of the same XML changes, so that caches are not taken for it.</summary>
    public const int FormatVersion = 1;

    /// <param name="file">The XML file.</param>
    /// <param name="linesSeen">Lines of the files before; those of this one are added.</param>
    public static IEnumerable<Document> Read(CorpusFile file, HashSet<string> linesSeen)
    {
        Dictionary<string, StringBuilder> texts = new(StringComparer.Ordinal);
        List<string> typeNames = [];
        foreach (XElement member in ReadMembers(file))
        {
            MemberName name = MemberName.Parse((string?)member.Attribute("name") ?? "");
            string lines = LinesOf(member, name, linesSeen);
            if (lines.Length == 0)
                continue;
            if (!texts.TryGetValue(name.FullTypeName, out StringBuilder? text))
            {
                texts.Add(name.FullTypeName, text = new StringBuilder().Append(name.TypeName).Append('\n'));
                typeNames.Add(name.FullTypeName);
            }
            text.Append('\n').Append(lines);
        }
        return typeNames.Select(typeName => new Document(typeName, texts[typeName].ToString()));
    }

    private static IEnumerable<XElement> ReadMembers(CorpusFile file)
    {
        using XmlReader reader = XmlReader.Create(file.Path, new XmlReaderSettings { DtdProcessing = DtdProcessing.Prohibit });
        while (MoveToMember(reader, file))
            yield return ReadElement(reader, file);
    }

    private static bool MoveToMember(XmlReader reader, CorpusFile file)
    {
        try
        {
            return (reader.NodeType == XmlNodeType.Element && reader.Name == "member") || reader.ReadToFollowing("member");
        }
        catch (XmlException e)
        {
            throw Damaged(file, e);
        }
    }

    private static XElement ReadElement(XmlReader reader, CorpusFile file)
    {
        try
        {
            return (XElement)XNode.ReadFrom(reader);
        }
        catch (XmlException e)
        {
            throw Damaged(file, e);
        }
    }

    private static DataException Damaged(CorpusFile file, XmlException e) =>
        new($"{file.Path} is damaged: {e.Message} Repair the .NET SDK, or name a corpus with --data.", e);

    private static string LinesOf(XElement member, MemberName name, HashSet<string> linesSeen)
    {
        StringBuilder lines = new();
        foreach (XElement part in member.Elements())
        {
            string prefix = PrefixOf(part, name);
            foreach (string line in XmlText.LinesOf(part).Where(IsEnglish))
            {
                string prefixed = prefix + line;
                if (linesSeen.Add(prefixed))
                    lines.Append(prefixed).Append('\n');
            }
        }
        return lines.ToString();
    }

    private static string PrefixOf(XElement part, MemberName name) => part.Name.LocalName switch
    {
        "summary" => name.Name.Length == 0 ? "" : $"{name.Name}: ",
        "param" or "typeparam" => $"{(string?)part.Attribute("name")}: ",
        "exception" => $"{MemberName.Parse((string?)part.Attribute("cref") ?? "").ShortName}: ",
        "returns" or "value" => "Returns: ",
        _ => "",
    };

    /// <summary>At least two words, and most of the line's words are made of letters.</summary>
    internal static bool IsEnglish(string line)
    {
        int wordCount = 0;
        int plainCount = 0;
        foreach (Range range in line.AsSpan().Split(' '))
        {
            ReadOnlySpan<char> word = line.AsSpan(range).Trim(".,;:!?()\"'");
            wordCount++;
            if (!word.IsEmpty && !word.ContainsAnyExcept(Letters))
                plainCount++;
        }
        return plainCount >= 2 && plainCount * 3 >= wordCount * 2;
    }

    private static readonly System.Buffers.SearchValues<char> Letters =
        System.Buffers.SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'-");
}
