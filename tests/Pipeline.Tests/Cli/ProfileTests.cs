using Pipeline.Cli.Configuration;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>The configurations that the repository ships can be used as they are.</summary>
public sealed class ProfileTests
{
    private static readonly string Folder = Path.Combine(RepositoryRoot.Path, "hocon");

    public static TheoryData<string> Profiles => new(Directory.GetFiles(Folder, "*.conf")
        .Concat(Directory.GetFiles(Path.Combine(Folder, "profiles"), "*.conf")).Select(path => Path.GetRelativePath(Folder, path)).Where(path => path != "reference.conf"));

    [Theory]
    [MemberData(nameof(Profiles))]
    public void A_profile_resolves(string name)
    {
        var settings = RunSettingsBinder.Resolve(ConfigurationSources.None with { Files = [ConfigurationLayer.FromFile(Path.Combine(Folder, name))] }).Settings;
        Assert.NotEmpty(settings.Cluster.Node.SeedNodes);
        // Whoever leaves loopback has certificates.
        Assert.True(settings.Cluster.Node.Security is not null || settings.Cluster.Node.SeedNodes.All(seed => seed.StartsWith("127.0.0.1:", StringComparison.Ordinal)));
    }
}
