namespace Pipeline.Cli.Execution;

/// <summary>How to start this program once more.</summary>
internal static class ThisProgram
{
    /// <summary>The program, and the library where the program is the runtime's host.</summary>
    public static IReadOnlyList<string> Words { get; } = Find();

    private static string[] Find()
    {
        var library = Path.Combine(AppContext.BaseDirectory, "pipeline.dll");
        var process = Environment.ProcessPath ?? "dotnet";
        return Path.GetFileNameWithoutExtension(process) == "pipeline" ? [process] : [Path.GetFileNameWithoutExtension(process) == "dotnet" ? process : "dotnet", library];
    }
}
