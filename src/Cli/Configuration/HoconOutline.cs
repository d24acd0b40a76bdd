using System.Text;

namespace Pipeline.Cli.Configuration;

/// <summary>
/// The skeleton of a HOCON text: at which line each key stands, and where the text breaks off or is unbalanced. It reads no
/// values: those come from Akka's parser, which however takes a truncated text without complaint, knows no lines, and never
/// returns from some malformed ones (<c>+:+ .[ $][]:</c>). What HOCON forbids outside of quotes is therefore refused here.
/// </summary>
internal sealed class HoconOutline
{
    private const string NeedsQuotes = "$[]:={}`^?!@*&\\";

    private readonly string text;
    private readonly Dictionary<string, int> lines = new(StringComparer.Ordinal);
    private readonly List<(int Line, string Sentence)> faults = [];
    private readonly Stack<(string Prefix, int Line)> open = new();
    private int position;
    private int line = 1;
    private bool isBroken;

    private HoconOutline(string text) => this.text = text;

    /// <summary>Line of each key's last definition, from 1, by full path.</summary>
    public IReadOnlyDictionary<string, int> Lines => lines;

    /// <summary>What is wrong with the text, as sentences with their lines; empty for a whole text.</summary>
    public IReadOnlyList<(int Line, string Sentence)> Faults => faults;

    /// <summary>Scans a whole text.</summary>
    public static HoconOutline Of(string text)
    {
        var outline = new HoconOutline(text);
        while (!outline.isBroken && outline.SkipBlank()) outline.ScanMember();
        if (!outline.isBroken && outline.open.TryPeek(out var unclosed))
            outline.faults.Add((unclosed.Line, $"The text ends inside the section opened here ('{{' without '}}'): it is truncated, or a brace is missing."));
        return outline;
    }

    private char Current => position < text.Length ? text[position] : '\0';

    private bool AtEnd => position >= text.Length;

    private void Advance()
    {
        if (Current == '\n') line++;
        position++;
    }

    private bool AtComment => Current == '#' || (Current == '/' && position + 1 < text.Length && text[position + 1] == '/');

    /// <summary>Skips what stands between members; false at the end of the text.</summary>
    private bool SkipBlank()
    {
        while (!AtEnd)
        {
            if (AtComment) while (!AtEnd && Current != '\n') Advance();
            else if (char.IsWhiteSpace(Current) || Current is ',' or '\uFEFF') Advance();
            else return true;
        }

        return false;
    }

    private void SkipSpaces()
    {
        while (!AtEnd && Current != '\n' && char.IsWhiteSpace(Current)) Advance();
    }

    private void Break(int atLine, string sentence)
    {
        faults.Add((atLine, sentence));
        isBroken = true;
    }

    private void ScanMember()
    {
        if (Current == '}') CloseSection();
        else if (Current == '{') OpenSection("");
        else if (Current is '=' or ':' or '[' or ']') Break(line, $"Expected a key, found '{Current}'.");
        else ScanKeyAndValue();
    }

    private void CloseSection()
    {
        if (open.Count == 0) Break(line, "A '}' closes a section that nothing opened. Remove it, or add the '{' it belongs to.");
        else open.Pop();
        Advance();
    }

    private void OpenSection(string key)
    {
        open.Push((Join(key), line));
        Advance();
    }

    private string Join(string key) => open.TryPeek(out var section) && section.Prefix.Length > 0
        ? key.Length > 0 ? section.Prefix + "." + key : section.Prefix
        : key;

    private void ScanKeyAndValue()
    {
        var startLine = line;
        var key = ReadKey();
        if (isBroken) return;
        if (key.StartsWith("include", StringComparison.Ordinal) && key.AsSpan(7).Trim().StartsWith("\"", StringComparison.Ordinal))
        {
            Break(startLine, "An include is not supported: name each file with its own -c option instead.");
            return;
        }

        key = key.Trim();
        if (!IsKey(key)) Break(startLine, $"Expected a key such as model.layers, found '{key}'.");
        else if (Current == '{') OpenSection(key);
        else if (Current is '=' or ':') ScanValue(key, startLine);
        else faults.Add((startLine, $"The key '{key}' has no value: expected '{key} = VALUE'."));
    }

    private static bool IsKey(string key) =>
        key.Length > 0 && key.Split('.').All(word => word.Length > 0 && word.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '-' or '_'));

    private string ReadKey()
    {
        StringBuilder key = new();
        while (!AtEnd && Current is not ('=' or ':' or '{' or '}' or '\n' or ',') && !AtComment)
        {
            if (Current != '"')
            {
                key.Append(Current);
                Advance();
                continue;
            }

            var start = position;
            if (!SkipQuoted()) return "";
            var quoted = text[start..position];
            key.Append(key.ToString().Trim() == "include" ? quoted : quoted.Trim('"'));
        }

        return key.ToString();
    }

    private void ScanValue(string key, int keyLine)
    {
        Advance();
        SkipSpaces();
        lines[Join(key)] = keyLine;
        if (Current == '{') OpenSection(key);
        else if (Current == '[') ScanList();
        else if (AtEnd || Current is '\n' or '}' or ',' || AtComment)
            faults.Add((keyLine, $"The key '{key}' has no value after '='" + (AtEnd ? ": the text is truncated." : ".")));
        else ScanScalar();
    }

    private void ScanList()
    {
        var startLine = line;
        Advance();
        while (SkipBlank() && Current != ']')
        {
            if (!ScanPiece()) return;
        }

        if (AtEnd) Break(startLine, "The text ends inside the list opened here ('[' without ']'): it is truncated, or a bracket is missing.");
        else Advance();
    }

    private void ScanScalar()
    {
        while (!AtEnd && Current is not ('\n' or ',' or '}') && !AtComment)
        {
            if (!ScanPiece()) return;
        }
    }

    /// <summary>Skips one character of a value, or one quoted text; false, with a fault, where HOCON forbids it.</summary>
    private bool ScanPiece()
    {
        if (Current == '"') return SkipQuoted();
        if (!NeedsQuotes.Contains(Current, StringComparison.Ordinal))
        {
            Advance();
            return true;
        }

        Break(line, text.AsSpan(position).StartsWith("${")
            ? "A substitution ${…} is not supported: write the value itself, or set it with PIPELINE__SECTION__KEY in the environment."
            : $"Unexpected '{Current}' within a value: a text that holds it is written in quotes, a section as 'key {{ … }}'.");
        return false;
    }

    /// <summary>Skips a quoted text, single or triple; false, with a fault, where it never ends.</summary>
    private bool SkipQuoted()
    {
        var startLine = line;
        var isTriple = text.AsSpan(position).StartsWith("\"\"\"");
        var length = isTriple ? 3 : 1;
        for (var i = 0; i < length; i++) Advance();
        while (!AtEnd)
        {
            if (isTriple ? text.AsSpan(position).StartsWith("\"\"\"") : Current == '"')
            {
                for (var i = 0; i < length; i++) Advance();
                return true;
            }

            if (!isTriple && Current == '\\') Advance();
            if (!isTriple && Current == '\n') break;
            if (!AtEnd) Advance();
        }

        Break(startLine, "A quoted text that begins on this line never ends: the closing '\"' is missing, or the text is truncated.");
        return false;
    }
}
