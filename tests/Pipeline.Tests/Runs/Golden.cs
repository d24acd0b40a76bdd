using Xunit;

namespace Pipeline.Tests.Runs;

/// <summary>Compares text with a file beside the tests. With UPDATE_GOLDEN=1 in the environment it writes the file instead.</summary>
internal static class Golden
{
    internal static void AssertEqual(string fileName, string actual, string room = "Runs")
    {
        var path = Path.Combine(SourceFolder(), "tests", "Pipeline.Tests", room, "Golden", fileName);
        if (Environment.GetEnvironmentVariable("UPDATE_GOLDEN") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, actual);
        }

        Assert.True(File.Exists(path), $"{path} is missing; run the test once with UPDATE_GOLDEN=1.");
        Assert.Equal(File.ReadAllText(path).ReplaceLineEndings("\n"), actual);
    }

    private static string SourceFolder()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Pipeline.sln")))
                return folder.FullName;
        }

        throw new InvalidOperationException($"No folder above {AppContext.BaseDirectory} holds Pipeline.sln.");
    }
}
