using Pipeline.Cli;
using Pipeline.Protocol.Security;
using Xunit;

namespace Pipeline.Tests.Cli;

public sealed class CertsCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Certificates => Path.Combine(_folder.Path, "certs");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_it_makes_lets_a_node_in_with_the_roles_that_were_asked_for()
    {
        Assert.Equal(ExitCode.Done, (CommandLineRun.Of("certs", "init", "--dir", Certificates, "--name", "run-7")).Code);
        var issued = CommandLineRun.Of("certs", "issue", "--dir", Certificates, "--name", "node-1", "--role", "coordinator", "--role", "stage", "--host", "node-1.example.org", "--host", "10.0.0.1");
        Assert.Equal(ExitCode.Done, issued.Code);
        Assert.Contains("node-1 (coordinator and stage", issued.Output, StringComparison.Ordinal);
        using var credentials = new SecuritySettings(Path.Combine(Certificates, "ca.crt"), Path.Combine(Certificates, "node-1.crt"), Path.Combine(Certificates, "node-1.key"),
            Path.Combine(Certificates, "issued.txt"), null).Load(TimeProvider.System);
        Assert.Equal(PeerRoles.Coordinator | PeerRoles.Stage, credentials.RolesOf(credentials.Certificate));
        Assert.True(credentials.Own.Covers("10.0.0.1"));
        Assert.DoesNotContain("PRIVATE", issued.Output + issued.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--role boss --host a", "expected one of coordinator, stage, operator")]
    [InlineData("--role stage", "needs --host")]
    [InlineData("--role stage --host http://a", "no port, no scheme")]
    [InlineData("--role stage --host 0.0.0.0", "no port, no scheme")]
    [InlineData("--role stage --host a --days 0", "expected a whole number from 1 to")]
    [InlineData("--role stage --host a --days 3000", "outlive its authority")]
    [InlineData("--role stage --host a --name ../x", "expected letters")]
    [InlineData("--role stage --host a --name ca", "the authority's own")]
    [InlineData("", "--role")]
    public void Clear_mistakes_are_refused_and_leave_nothing(string arguments, string sentence)
    {
        CommandLineRun.Of("certs", "init", "--dir", Certificates);
        var before = Directory.GetFiles(Certificates).Length;
        string[] name = arguments.Contains("--name", StringComparison.Ordinal) ? [] : ["--name", "node-1"];
        var run = CommandLineRun.Of(["certs", "issue", "--dir", Certificates, .. name, .. arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries)]);
        Assert.Equal(ExitCode.Refused, run.Code);
        Assert.Contains(sentence, run.Error, StringComparison.Ordinal);
        Assert.Equal(before, Directory.GetFiles(Certificates).Length);
    }

    [Fact]
    public void An_authority_is_never_overwritten()
    {
        CommandLineRun.Of("certs", "init", "--dir", Certificates);
        var before = File.ReadAllText(Path.Combine(Certificates, "ca.key"));
        var again = CommandLineRun.Of("certs", "init", "--dir", Certificates);
        Assert.Equal(ExitCode.Refused, again.Code);
        Assert.Contains("not overwritten", again.Error, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllText(Path.Combine(Certificates, "ca.key")));
    }
}
