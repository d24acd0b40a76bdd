namespace Pipeline.Bench.Reports;

/// <summary>What a benchmark found: a table with words around it.</summary>
/// <param name="Name">File name without extension.</param>
/// <param name="Title">Heading.</param>
/// <param name="Method">What was measured and how, in a few sentences.</param>
/// <param name="Columns">Head of the table.</param>
/// <param name="Rows">Cells by row.</param>
internal sealed record BenchReport(string Name, string Title, string Method, IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string>> Rows)
{
    /// <summary>Sentences under the table.</summary>
    public IReadOnlyList<string> Remarks { get; init; } = [];

    /// <summary>The table in Markdown, columns padded so that it reads well in a terminal too.</summary>
    public string Table()
    {
        int[] widths = [.. Columns.Select((column, index) => Math.Max(column.Length, Rows.Select(row => row[index].Length).DefaultIfEmpty(0).Max()))];
        return string.Join('\n', [Line(Columns, widths), Line([.. widths.Select(width => new string('-', width))], widths), .. Rows.Select(row => Line(row, widths))]);
    }

    private static string Line(IReadOnlyList<string> cells, int[] widths) => "| " + string.Join(" | ", cells.Select((cell, index) => cell.PadRight(widths[index]))) + " |";
}
