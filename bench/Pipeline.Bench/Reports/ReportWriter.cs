using System.Globalization;

namespace Pipeline.Bench.Reports;

/// <summary>Prints a report's table and writes the whole as Markdown, with what is needed to judge or repeat it.</summary>
internal sealed class ReportWriter(BenchOptions options, TimeProvider clock)
{
    /// <summary>Prints and writes a report.</summary>
    public void Write(BenchReport report)
    {
        var remarks = options.IsQuick ? ["Tiny models stood in for the real ones (`--quick`): no figure here is a measurement.", .. report.Remarks] : report.Remarks;
        Console.WriteLine($"\n{report.Title}\n\n{report.Table()}\n");
        foreach (var remark in remarks) Console.WriteLine(remark);
        Directory.CreateDirectory(options.ReportFolder);
        var path = Path.Combine(options.ReportFolder, report.Name + ".md");
        File.WriteAllText(path, Markdown(report, remarks));
        Console.WriteLine($"Report: {path}");
    }

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
