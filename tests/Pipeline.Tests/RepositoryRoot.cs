namespace Pipeline.Tests;

/// <summary>Where the sources lie from which these tests were built: for what is held against documents and files that ship beside the program.</summary>
internal static class RepositoryRoot
{
    /// <summary>Its folder.</summary>
    internal static string Path { get; } = Find();

    private static string Find()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(System.IO.Path.Combine(folder, "Pipeline.sln"))) folder = System.IO.Path.GetDirectoryName(folder)!;
        return folder;
    }
}
