using System.Text;

namespace Pipeline.Operator;

/// <summary>A line of an operator as words: blanks separate, double quotes keep together, a backslash takes the next character as it is.</summary>
public sealed record CommandWords
{
    private CommandWords(IReadOnlyList<string> words)
    {
        Name = words.Count > 0 ? words[0] : "";
        Arguments = [.. words.Skip(1).Where(word => !IsFlag(word))];
        Flags = [.. words.Skip(1).Where(IsFlag)];
    }

    /// <summary>The command; empty for an empty line.</summary>
    public string Name { get; }

    /// <summary>What follows it and is no flag.</summary>
    public IReadOnlyList<string> Arguments { get; }

    /// <summary>Words with two dashes in front, wherever they stand.</summary>
    public IReadOnlyList<string> Flags { get; }

    /// <summary>Reads a line.</summary>
    public static CommandWords Parse(string line) => new(Split(line));

    /// <summary>Several commands in a line, separated by semicolons outside quotes.</summary>
    public static IReadOnlyList<string> Lines(string text)
    {
        List<string> lines = [];
        StringBuilder current = new();
        var isQuoted = false;
        for (var index = 0; index < text.Length; index++)
        {
            var sign = text[index];
            if (sign == '\\' && index + 1 < text.Length) current.Append(sign).Append(text[++index]);
            else if (sign == '\n' || (sign == ';' && !isQuoted)) Close();
            else
            {
                if (sign == '"') isQuoted = !isQuoted;
                current.Append(sign);
            }
        }

        Close();
        return lines;

        void Close()
        {
            var line = current.ToString().Trim();
            if (line.Length > 0 && line[0] != '#') lines.Add(line);
            current.Clear();
            isQuoted = false;
        }
    }

    /// <summary>A word as it must stand in a line to be read back as it is.</summary>
    public static string Quote(string word) =>
        word.Length > 0 && !word.Any(sign => char.IsWhiteSpace(sign) || sign is '"' or '\\' or ';') ? word : "\"" + word.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal) + "\"";

    private static bool IsFlag(string word) => word.Length > 2 && word.StartsWith("--", StringComparison.Ordinal);

    private static List<string> Split(string line)
    {
        List<string> words = [];
        StringBuilder word = new();
        var (isOpen, isQuoted) = (false, false);
        for (var index = 0; index < line.Length; index++)
        {
            var sign = line[index];
            if (sign == '\\' && index + 1 < line.Length) (isOpen, _) = (true, word.Append(line[++index]));
            else if (sign == '"') (isOpen, isQuoted) = (true, !isQuoted);
            else if (char.IsWhiteSpace(sign) && !isQuoted) Close();
            else (isOpen, _) = (true, word.Append(sign));
        }

        Close();
        return words;

        void Close()
        {
            if (isOpen) words.Add(word.ToString());
            word.Clear();
            isOpen = false;
        }
    }
}
