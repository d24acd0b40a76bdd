namespace Pipeline.Chaos;

/// <summary>The built program.</summary>
internal static class Executable
{
    /// <summary>Path of <c>pipeline.dll</c>, beside the tests' own output.</summary>
    public static string Path { get; } = Find();

    private static string Find()
    {
        var folder = AppContext.BaseDirectory;
        while (!Directory.Exists(System.IO.Path.Combine(folder, "bin", "Pipeline.Cli")))
            folder = System.IO.Path.GetDirectoryName(folder) ?? throw new InvalidOperationException($"No bin/Pipeline.Cli above {AppContext.BaseDirectory}: build the solution.");
        return Directory.GetFiles(System.IO.Path.Combine(folder, "bin", "Pipeline.Cli"), "pipeline.dll", SearchOption.AllDirectories)
            .OrderByDescending(File.GetLastWriteTimeUtc).First();
    }
}
