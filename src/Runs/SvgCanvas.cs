using System.Globalization;
using System.Text;

namespace Pipeline.Runs;

/// <summary>
/// Builds an SVG image as text, the same text for the same calls on every machine. The viewer draws the letters, so no fonts are needed here.
/// </summary>
internal sealed class SvgCanvas
{
    private const string Fonts = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', Helvetica, Arial, sans-serif";

    private readonly StringBuilder _text = new();

    internal SvgCanvas(double width, double height, string title)
    {
        _text.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Number(width)}\" height=\"{Number(height)}\" viewBox=\"0 0 {Number(width)} {Number(height)}\" font-family=\"{Escape(Fonts)}\" font-size=\"12\" role=\"img\">\n");
        _text.Append(CultureInfo.InvariantCulture, $"<title>{Escape(title)}</title>\n");
        // A background of its own, so that a dark viewer does not swallow the dark text.
        Rectangle(0, 0, width, height, "#ffffff");
    }

    internal void Rectangle(double x, double y, double width, double height, string fill, double radius = 0, string? tooltip = null)
    {
        _text.Append(CultureInfo.InvariantCulture, $"<rect x=\"{Number(x)}\" y=\"{Number(y)}\" width=\"{Number(width)}\" height=\"{Number(height)}\" fill=\"{fill}\"");
        if (radius > 0)
            _text.Append(CultureInfo.InvariantCulture, $" rx=\"{Number(radius)}\"");
        _text.Append(tooltip is null ? "/>\n" : $"><title>{Escape(tooltip)}</title></rect>\n");
    }

    internal void Line(double x1, double y1, double x2, double y2, string stroke, double width = 1, string? dashes = null) =>
        _text.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Number(x1)}\" y1=\"{Number(y1)}\" x2=\"{Number(x2)}\" y2=\"{Number(y2)}\" stroke=\"{stroke}\" stroke-width=\"{Number(width)}\"{(dashes is null ? "" : $" stroke-dasharray=\"{dashes}\"")}/>\n");

    /// <summary>Lines through the points; a point that is not finite begins a new line.</summary>
    internal void Polyline(IEnumerable<(double X, double Y)> points, string stroke, double width, double opacity = 1)
    {
        var path = new StringBuilder();
        var isDown = false;
        foreach (var (x, y) in points)
        {
            if (double.IsFinite(y))
                path.Append(CultureInfo.InvariantCulture, $"{(isDown ? 'L' : 'M')}{Number(x)} {Number(y)}");
            isDown = double.IsFinite(y);
        }

        if (path.Length > 0)
            _text.Append(CultureInfo.InvariantCulture, $"<path d=\"{path}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{Number(width)}\" stroke-linejoin=\"round\" stroke-linecap=\"round\"{(opacity < 1 ? $" opacity=\"{Number(opacity)}\"" : "")}/>\n");
    }

    /// <summary>A filled path in the SVG's own commands.</summary>
    internal void Path(string commands, string fill) => _text.Append(CultureInfo.InvariantCulture, $"<path d=\"{commands}\" fill=\"{fill}\"/>\n");

    internal void Circle(double x, double y, double radius, string fill, string stroke = "#ffffff") =>
        _text.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{Number(x)}\" cy=\"{Number(y)}\" r=\"{Number(radius)}\" fill=\"{fill}\" stroke=\"{stroke}\"/>\n");

    /// <param name="x">Where the anchor is.</param>
    /// <param name="y">The base line.</param>
    /// <param name="text">Any text; it is escaped.</param>
    /// <param name="fill">Colour.</param>
    /// <param name="anchor"><c>start</c>, <c>middle</c> or <c>end</c>.</param>
    /// <param name="size">In pixels.</param>
    /// <param name="isBold">Whether it is bold.</param>
    /// <param name="rotation">Degrees around the anchor.</param>
    internal void Text(double x, double y, string text, string fill, string anchor = "start", double size = 12, bool isBold = false, double rotation = 0)
    {
        _text.Append(CultureInfo.InvariantCulture, $"<text x=\"{Number(x)}\" y=\"{Number(y)}\" fill=\"{fill}\"");
        if (anchor != "start")
            _text.Append(CultureInfo.InvariantCulture, $" text-anchor=\"{anchor}\"");
        if (size != 12)
            _text.Append(CultureInfo.InvariantCulture, $" font-size=\"{Number(size)}\"");
        if (isBold)
            _text.Append(" font-weight=\"600\"");
        if (rotation != 0)
            _text.Append(CultureInfo.InvariantCulture, $" transform=\"rotate({Number(rotation)} {Number(x)} {Number(y)})\"");
        _text.Append(CultureInfo.InvariantCulture, $">{Escape(text)}</text>\n");
    }

    /// <summary>A bold heading that is made smaller, and at last shortened, to fit a width.</summary>
    internal void Heading(double x, double y, double width, string text, string fill)
    {
        const double largest = 18, smallest = 12, widthPerSize = 0.62;
        var size = Math.Clamp(width / (Math.Max(1, text.Length) * widthPerSize), smallest, largest);
        var room = (int)(width / (smallest * widthPerSize));
        Text(x, y, text.Length <= room ? text : text[..(room - 1)] + "…", fill, size: size, isBold: true);
    }

    /// <summary>What is drawn inside is cut at the rectangle.</summary>
    internal void Clipped(string id, double x, double y, double width, double height, Action draw)
    {
        _text.Append(CultureInfo.InvariantCulture, $"<clipPath id=\"{id}\"><rect x=\"{Number(x)}\" y=\"{Number(y)}\" width=\"{Number(width)}\" height=\"{Number(height)}\"/></clipPath>\n<g clip-path=\"url(#{id})\">\n");
        draw();
        _text.Append("</g>\n");
    }

    internal string Finish() => _text.ToString() + "</svg>\n";

    /// <summary>Two decimals are finer than any screen.</summary>
    private static string Number(double value) => Math.Round(value, 2).ToString("0.##", CultureInfo.InvariantCulture);

    private static string Escape(string text)
    {
        var escaped = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes())
        {
            _ = rune.Value switch
            {
                '&' => escaped.Append("&amp;"),
                '<' => escaped.Append("&lt;"),
                '>' => escaped.Append("&gt;"),
                '"' => escaped.Append("&quot;"),
                // Control characters are not allowed in XML, not even escaped; nor are U+FFFE and U+FFFF.
                < 0x20 or (>= 0x7f and < 0xa0) or 0xfffe or 0xffff => escaped.Append('\ufffd'),
                _ => escaped.Append(rune.ToString()),
            };
        }

        return escaped.ToString();
    }
}
