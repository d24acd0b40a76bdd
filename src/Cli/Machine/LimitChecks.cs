using System.Globalization;

namespace Pipeline.Cli.Machine;

/// <summary>The limits that the system puts on this process; Linux only.</summary>
internal static class LimitChecks
{
    private const string Source = "/proc/self/limits";

    public static IEnumerable<Finding> All() => File.Exists(Source) ? Of(File.ReadAllLines(Source)) : [];

    internal static IEnumerable<Finding> Of(IReadOnlyList<string> limits)
    {
        var files = Soft(limits, "Max open files");
        yield return files is null or >= 1024
            ? Finding.Fine("open files", files is { } count ? $"up to {count}" : "unlimited")
            : Finding.Notice("open files", $"up to {files}", "Raise it: ulimit -n 4096.");
        foreach (var (name, option) in new[] { ("Max address space", "-v"), ("Max file size", "-f"), ("Max data size", "-d"), ("Max cpu time", "-t") })
        {
            if (Soft(limits, name) is { } limit)
                yield return Finding.Notice(name["Max ".Length..], $"limited to {limit}", $"Remove the limit, or the run may end early: ulimit {option} unlimited.");
        }
    }

    /// <summary>The soft limit of a line such as <c>Max open files  1024  524288  files</c>; null for unlimited.</summary>
    private static long? Soft(IReadOnlyList<string> limits, string name)
    {
        var line = limits.FirstOrDefault(candidate => candidate.StartsWith(name, StringComparison.Ordinal));
        var word = line?[name.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault();
        return long.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out var limit) ? limit : null;
    }
}
