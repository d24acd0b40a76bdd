using Pipeline.Nodes;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>Several processes make one token file, and all hold the same token.</summary>
public sealed class TokenFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-token-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void The_first_one_makes_it_and_the_others_agree()
    {
        var path = Path.Combine(_folder, "deeper", "token");
        var token = TokenFile.ReadOrCreate(path);
        Assert.Equal(64, token.Length);
        Assert.Equal(token, TokenFile.ReadOrCreate(path));
        if (!OperatingSystem.IsWindows()) Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
    }

    [Fact]
    public void An_empty_file_is_refused_by_name()
    {
        var path = Path.Combine(_folder, "token");
        File.WriteAllText(path, "");
        Assert.Contains(path, Assert.Throws<RunException>(() => TokenFile.ReadOrCreate(path)).Message, StringComparison.Ordinal);
    }
}
