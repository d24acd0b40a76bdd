using System.Globalization;

namespace Pipeline.Bench.Reports;

/// <summary>Prints a report's table and writes the whole as Markdown, with what is needed to judge or repeat it.</summary>
internal sealed class ReportWriter(BenchOptions options, TimeProvider clock)
{
    /// <summary>Prints and writes a report.</summary>
    public void Write(BenchReport report)
    {
        Console.WriteLine($"\n{report.Title}\n\n{report.Table()}\n");
        foreach (var remark in Remarks(report)) Console.WriteLine(remark);
        Keep(report);
        Console.WriteLine($"Report: {PathOf(report)}");
    }

    /// <summary>Writes a report and prints nothing: it is not finished.</summary>
    public void Keep(BenchReport report)
    {
        Directory.CreateDirectory(options.ReportFolder);
        File.WriteAllText(PathOf(report), Markdown(report, Remarks(report)));
    }

    private string PathOf(BenchReport report) => Path.Combine(options.ReportFolder, report.Name + ".md");

    private IReadOnlyList<string> Remarks(BenchReport report) =>
        options.IsQuick ? ["Tiny models stood in for the real ones (`--quick`): no figure here is a measurement.", .. report.Remarks] : report.Remarks;

    private string Markdown(BenchReport report, IReadOnlyList<string> remarks) => $"""
        # {report.Title}

        - Date: {clock.GetUtcNow().ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture)}
        - Machine: {Machine.ProcessorName}, {Environment.ProcessorCount} cores, {Machine.SystemName}; load at the report: {Machine.Load}
        - Versions: {Machine.Versions}
        - Command: `{options.Command}`

        {report.Method}

        {report.Table()}

        {string.Join("\n\n", remarks)}

        """;
}
