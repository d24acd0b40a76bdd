namespace Pipeline.Tests.Runs;

/// <summary>A folder of a test's own, removed with everything in it at the test's end.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public TemporaryFolder() => Folder = Directory.CreateTempSubdirectory("pipeline-test-").FullName;

    public string Folder { get; }

    public string In(string name) => Path.Combine(Folder, name);

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
