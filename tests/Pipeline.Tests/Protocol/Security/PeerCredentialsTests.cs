using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Pipeline.Protocol.Security;
using Pipeline.Tests.Runs;
using Xunit;

// The hostile side of a handshake trusts anybody, so that what refuses it is the other side.
#pragma warning disable CA5359

namespace Pipeline.Tests.Protocol.Security;

/// <summary>Row A1 of the fault matrix, at the handshake: who is let in and who is not, on both sides.</summary>
public sealed class PeerCredentialsTests : IDisposable
{
    private readonly TestAuthority _authority = new();

    public void Dispose() => _authority.Dispose();

    [Theory]
    [InlineData(PeerRoles.Stage)]
    [InlineData(PeerRoles.Coordinator)]
    [InlineData(PeerRoles.Operator)]
    [InlineData(PeerRoles.Coordinator | PeerRoles.Stage)]
    public async Task Peers_of_one_authority_let_each_other_in_and_know_their_roles(PeerRoles roles)
    {
        using var server = _authority.Credentials();
        using var client = _authority.Credentials(roles);
        var seen = await Handshake(server.ForServer(), client.ForClient("localhost"), stream => (server.RolesOf(stream.RemoteCertificate!), client.Own.Roles));
        Assert.Equal((roles, roles), seen);
    }

    [Fact]
    public async Task A_client_without_a_certificate_is_refused()
    {
        using var server = _authority.Credentials();
        await AssertRefused(server.ForServer(), new() { TargetHost = "localhost", RemoteCertificateValidationCallback = (_, _, _, _) => true });
    }

    [Fact]
    public async Task A_client_of_another_authority_with_the_same_name_is_refused()
    {
        using TestAuthority other = new();
        using var server = _authority.Credentials();
        using var client = other.Credentials();
        await AssertRefused(server.ForServer(), Trusting(client));
        Assert.Contains("not signed by the run's authority", server.Judge(client.Certificate).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_of_another_authority_is_refused()
    {
        using TestAuthority other = new();
        using var server = other.Credentials();
        using var client = _authority.Credentials();
        var options = server.ForServer();
        options.RemoteCertificateValidationCallback = (_, _, _, _) => true;
        await AssertRefused(options, client.ForClient("localhost"));
    }

    [Fact]
    public async Task A_server_that_speaks_for_another_host_is_refused()
    {
        using var server = _authority.Credentials(_authority.Issue(TestAuthority.Order(hosts: "elsewhere")));
        using var client = _authority.Credentials();
        await AssertRefused(server.ForServer(), client.ForClient("localhost"));
    }

    [Fact]
    public void A_self_signed_certificate_is_refused()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("O=run-1, OU=coordinator, CN=node-1", key, HashAlgorithmName.SHA256);
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(100));
        using var credentials = _authority.Credentials();
        Assert.False(credentials.Judge(certificate).IsAccepted);
    }

    [Fact]
    public void The_authority_itself_is_no_peer_and_its_leaves_sign_nobody()
    {
        using var credentials = _authority.Credentials();
        Assert.False(credentials.Judge(_authority.Certificate).IsAccepted);
        using var leaf = new RunAuthority(_authority.Issue(PeerRoles.Coordinator), TimeProvider.System);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("OU=coordinator, CN=forged", key, HashAlgorithmName.SHA256);
        using var forged = request.Create(leaf.Certificate.SubjectName, X509SignatureGenerator.CreateForECDsa(leaf.Certificate.GetECDsaPrivateKey()!),
            DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddDays(1), [1]);
        Assert.False(credentials.Judge(forged).IsAccepted);
    }

    [Fact]
    public void Validity_is_judged_by_the_clock()
    {
        var now = DateTimeOffset.UtcNow;
        using var certificate = _authority.Issue(TestAuthority.Order(days: 7));
        Assert.True(At(now.AddDays(6)).IsAccepted);
        Assert.Contains("expired on", At(now.AddDays(8)).Reason, StringComparison.Ordinal);
        Assert.Contains("is the clock right?", At(now.AddDays(-2)).Reason, StringComparison.Ordinal);

        PeerVerdict At(DateTimeOffset moment)
        {
            MovableTime time = new(now);
            using var credentials = _authority.Credentials(_authority.Issue(TestAuthority.Order(days: 20)), time: time);
            time.Now = moment;
            return credentials.Judge(certificate);
        }
    }

    [Fact]
    public void A_certificate_without_a_role_is_refused_even_of_oneself()
    {
        using var none = _authority.Issue(TestAuthority.Order(PeerRoles.None));
        using var credentials = _authority.Credentials();
        Assert.Contains("none of the roles", credentials.Judge(none).Reason, StringComparison.Ordinal);
        Assert.Throws<SecurityException>(() => _authority.Credentials(_authority.Issue(TestAuthority.Order(PeerRoles.None))));
    }

    [Fact]
    public void A_line_added_to_the_revoked_or_removed_from_the_pins_shuts_out_at_once()
    {
        using TemporaryFolder folder = new();
        var (pins, revoked) = (folder.In("pins"), folder.In("revoked"));
        using var peer = _authority.Issue();
        File.WriteAllText(pins, $"# of this run\n{peer.SerialNumber.ToLowerInvariant()} # node-1\n");
        File.WriteAllText(revoked, "");
        using var credentials = _authority.Credentials(_authority.Issue(), new(pins), new(revoked));
        Assert.Equal(PeerRoles.Stage, credentials.RolesOf(peer));
        File.WriteAllText(revoked, peer.SerialNumber);
        Assert.Contains("is revoked", credentials.Judge(peer).Reason, StringComparison.Ordinal);
        File.WriteAllText(revoked, "# nobody any more");
        Assert.Equal(PeerRoles.Stage, credentials.RolesOf(peer));
        File.WriteAllText(pins, "");
        Assert.Contains("list of pins", credentials.Judge(peer).Reason, StringComparison.Ordinal);
        File.Delete(pins);
        Assert.Contains("cannot be read", credentials.Judge(peer).Reason, StringComparison.Ordinal);
        Assert.Equal(PeerRoles.None, credentials.RolesOf(peer));
    }

    [Theory]
    [InlineData("localhost", true)]
    [InlineData("LOCALHOST", true)]
    [InlineData("127.0.0.1", true)]
    [InlineData("[::1]", true)]
    [InlineData("pipeline-0.pipeline", true)]
    [InlineData("a.pipeline-0.pipeline", false)]
    [InlineData(".pipeline", false)]
    [InlineData("pipeline", false)]
    [InlineData("10.0.0.1", false)]
    public void A_certificate_covers_the_hosts_that_it_names(string host, bool isCovered)
    {
        using var credentials = _authority.Credentials(_authority.Issue(TestAuthority.Order(hosts: ["localhost", "127.0.0.1", "::1", "*.pipeline"])));
        Assert.Equal(isCovered, credentials.Own.Covers(host));
    }

    private static SslClientAuthenticationOptions Trusting(PeerCredentials client)
    {
        var options = client.ForClient("localhost");
        options.RemoteCertificateValidationCallback = (_, _, _, _) => true;
        return options;
    }

    private static async Task AssertRefused(SslServerAuthenticationOptions server, SslClientAuthenticationOptions client)
    {
        var failure = await Assert.ThrowsAnyAsync<Exception>(() => Handshake(server, client, _ => 0));
        Assert.True(failure is AuthenticationException or IOException, failure.ToString());
    }

    /// <summary>Both sides of a handshake over loopback, and a byte each way: a TLS 1.3 client learns of its refusal with the first read.</summary>
    private static async Task<T> Handshake<T>(SslServerAuthenticationOptions serverOptions, SslClientAuthenticationOptions clientOptions, Func<SslStream, T> look)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        using TcpClient dialled = new();
        await dialled.ConnectAsync((IPEndPoint)listener.LocalEndpoint, limit.Token);
        using var accepted = await listener.AcceptTcpClientAsync(limit.Token);
        await using SslStream client = new(dialled.GetStream()), server = new(accepted.GetStream());
        var seen = ServeAsync();
        try
        {
            await client.AuthenticateAsClientAsync(clientOptions, limit.Token);
            await client.WriteAsync(new byte[] { 1 }, limit.Token);
            await client.ReadExactlyAsync(new byte[1], limit.Token);
        }
        catch
        {
            dialled.Close();
            await Assert.ThrowsAnyAsync<Exception>(() => seen);
            throw;
        }

        return await seen;

        async Task<T> ServeAsync()
        {
            try
            {
                await server.AuthenticateAsServerAsync(serverOptions, limit.Token);
                await server.ReadExactlyAsync(new byte[1], limit.Token);
                var found = look(server);
                await server.WriteAsync(new byte[] { 1 }, limit.Token);
                return found;
            }
            catch
            {
                accepted.Close();
                throw;
            }
        }
    }
}

/// <summary>A clock that a test moves.</summary>
internal sealed class MovableTime(DateTimeOffset now) : TimeProvider
{
    public DateTimeOffset Now { get; set; } = now;

    public override DateTimeOffset GetUtcNow() => Now;
}
