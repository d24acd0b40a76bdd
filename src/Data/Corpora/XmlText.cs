using System.Text;
using System.Xml.Linq;

namespace Pipeline.Data;

/// <summary>The text of a documentation element: tags stripped, one line a paragraph or list item, white space normalised.</summary>
internal static class XmlText
{
    public static IEnumerable<string> LinesOf(XElement element)
    {
        StringBuilder text = new();
        Append(element, text);
        foreach (string line in text.ToString().Split(ParagraphEnd))
        {
            string normalised = string.Join(' ', line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
            if (normalised.Length > 0)
                yield return normalised;
        }
    }

    // Line ends of the XML file are white space like any other; a paragraph's end needs a character that XML cannot hold.
    private const char ParagraphEnd = '\u0001';

    private static void Append(XElement element, StringBuilder text)
    {
        foreach (XNode node in element.Nodes())
        {
            switch (node)
            {
                case XText plain:
                    text.Append(plain.Value);
                    break;
                case XElement child:
                    AppendChild(child, text);
                    break;
            }
        }
    }

    private static void AppendChild(XElement child, StringBuilder text)
    {
        switch (child.Name.LocalName)
        {
            case "see" or "seealso" or "paramref" or "typeparamref" or "xref" when child.IsEmpty:
                text.Append(ReferenceOf(child));
                break;
            case "para" or "p" or "item" or "listheader" or "li" or "list" or "ul" or "br":
                text.Append(ParagraphEnd);
                Append(child, text);
                text.Append(ParagraphEnd);
                break;
            case "term":
                Append(child, text);
                text.Append(": ");
                break;
            default:
                Append(child, text);
                break;
        }
    }

    private static string ReferenceOf(XElement reference) =>
        (string?)reference.Attribute("cref") is { } cref ? MemberName.Parse(cref).ShortName
        : (string?)reference.Attribute("langword") ?? (string?)reference.Attribute("name") ?? "";
}
