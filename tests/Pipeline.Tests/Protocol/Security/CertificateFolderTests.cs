using Pipeline.Protocol.Security;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Protocol.Security;

public sealed class CertificateFolderTests : IDisposable
{
    private static readonly TimeSpan Month = TimeSpan.FromDays(30);

    private readonly TemporaryFolder _folder = new();
    private readonly CertificateFolder _certificates;

    public CertificateFolderTests() => _certificates = new(_folder.In("certs"), TimeProvider.System);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_it_writes_can_be_loaded_and_is_let_in()
    {
        _certificates.Initialise("run-1", Month);
        var issued = _certificates.Issue(TestAuthority.Order(PeerRoles.Coordinator | PeerRoles.Stage));
        using PeerCredentials credentials = new(
            CertificateFolder.LoadCertificate(_certificates.Authority), CertificateFolder.Load(_certificates.Certificate("node-1"), _certificates.Key("node-1")), TimeProvider.System)
        {
            Pins = new(_certificates.IssuedList),
        };
        Assert.Equal(issued.SerialNumber, credentials.Own.SerialNumber);
        Assert.Equal(PeerRoles.Coordinator | PeerRoles.Stage, credentials.RolesOf(credentials.Certificate));
        Assert.Equal("node-1", credentials.Own.Name);
    }

    [SkippableFact]
    public void Only_the_owner_may_read_its_files()
    {
        Skip.If(OperatingSystem.IsWindows(), "Windows has no modes.");
        _certificates.Initialise("run-1", Month);
        _certificates.Issue(TestAuthority.Order());
        if (OperatingSystem.IsWindows()) return;
        foreach (var path in Directory.GetFiles(_folder.In("certs"))) Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
        File.SetUnixFileMode(_certificates.Key("node-1"), UnixFileMode.UserRead | UnixFileMode.OtherRead);
        var refused = Assert.Throws<SecurityException>(() => CertificateFolder.Load(_certificates.Certificate("node-1"), _certificates.Key("node-1")));
        Assert.Contains("chmod 600", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nothing_is_ever_overwritten()
    {
        _certificates.Initialise("run-1", Month);
        _certificates.Issue(TestAuthority.Order());
        var before = Contents();
        Assert.Throws<SecurityException>(() => _certificates.Initialise("run-2", Month));
        Assert.Contains("not overwritten", Assert.Throws<SecurityException>(() => _certificates.Issue(TestAuthority.Order())).Message, StringComparison.Ordinal);
        Assert.Throws<SecurityException>(() => _certificates.Issue(TestAuthority.Order(name: "ca")));
        Assert.Equal(before, Contents());
    }

    [Fact]
    public void Mistakes_are_named_with_their_remedy()
    {
        Assert.Contains("certs init", Assert.Throws<SecurityException>(() => _certificates.Issue(TestAuthority.Order())).Message, StringComparison.Ordinal);
        _certificates.Initialise("run-1", Month);
        Assert.Contains("outlive its authority", Assert.Throws<SecurityException>(() => _certificates.Issue(TestAuthority.Order(days: 40))).Message, StringComparison.Ordinal);
        Assert.Contains("ca.crt", Assert.Throws<SecurityException>(() => CertificateFolder.LoadCertificate(_folder.In("ca.crt"))).Message, StringComparison.Ordinal);
        _certificates.Issue(TestAuthority.Order());
        _certificates.Issue(TestAuthority.Order(name: "node-2"));
        var swapped = Assert.Throws<SecurityException>(() => CertificateFolder.Load(_certificates.Certificate("node-1"), _certificates.Key("node-2")));
        Assert.Contains("another one's", swapped.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("PRIVATE", swapped.ToString(), StringComparison.Ordinal);
    }

    private List<string> Contents() => [.. Directory.GetFiles(_folder.In("certs")).Order(StringComparer.Ordinal).Select(path => path + File.ReadAllText(path))];
}
