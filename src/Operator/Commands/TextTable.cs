using System.Text;
using Pipeline.Protocol.Security;

namespace Pipeline.Operator;

/// <summary>Rows of cells as aligned lines. What came from outside is made harmless here.</summary>
internal static class TextTable
{
    internal static string Of(IReadOnlyList<string> head, IEnumerable<IReadOnlyList<string>> rows)
    {
        IReadOnlyList<IReadOnlyList<string>> all = [head, .. rows.Select(row => row.Select(cell => SafeText.Of(cell)).ToArray())];
        var widths = Enumerable.Range(0, head.Count).Select(column => all.Max(row => row[column].Length)).ToArray();
        StringBuilder text = new();
        foreach (var row in all)
        {
            if (text.Length > 0) text.Append('\n');
            text.Append(string.Join("  ", row.Select((cell, column) => column == head.Count - 1 ? cell : cell.PadRight(widths[column]))).TrimEnd());
        }

        return text.ToString();
    }
}
