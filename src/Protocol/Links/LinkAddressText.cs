using System.Globalization;

namespace Pipeline.Protocol.Links;

/// <summary>A <see cref="LinkAddress"/> as one line of text, as it stands in the places of a layout.</summary>
public static class LinkAddressText
{
    private const int FieldCount = 7;

    /// <summary>The address as text: its fields, escaped, between bars.</summary>
    public static string Of(LinkAddress address) => string.Join('|',
        Escaped(address.Node), address.Incarnation.ToString("x16", CultureInfo.InvariantCulture), Escaped(address.Host), Escaped(address.UnixPath),
        Escaped(address.TcpHost), address.TcpPort.ToString(CultureInfo.InvariantCulture), Escaped(address.AkkaPath));

    /// <summary>Reads an address.</summary>
    /// <exception cref="FormatException">The text is none.</exception>
    public static LinkAddress Parse(string text)
    {
        var fields = text.Split('|');
        if (fields.Length == FieldCount
            && ulong.TryParse(fields[1], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var incarnation)
            && int.TryParse(fields[5], NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port <= ushort.MaxValue)
        {
            return new LinkAddress(Plain(fields[0]), incarnation, Plain(fields[2]), Plain(fields[3]), Plain(fields[4]), port, Plain(fields[6]));
        }

        throw new FormatException($"Expected the address of a node's links, {FieldCount} fields between bars; found '{Security.SafeText.Of(text)}'.");
    }

    private static string Escaped(string field) => Uri.EscapeDataString(field);

    private static string Plain(string field) => Uri.UnescapeDataString(field);
}
