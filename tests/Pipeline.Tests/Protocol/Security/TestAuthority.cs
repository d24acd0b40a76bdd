using System.Security.Cryptography.X509Certificates;
using Pipeline.Protocol.Security;

namespace Pipeline.Tests.Protocol.Security;

/// <summary>An authority of a test's own, and credentials under it.</summary>
internal sealed class TestAuthority : IDisposable
{
    private readonly RunAuthority _authority;

    public TestAuthority(TimeProvider? time = null, string name = "run-1")
    {
        Time = time ?? TimeProvider.System;
        _authority = RunAuthority.Create(name, TimeSpan.FromDays(30), Time);
    }

    public TimeProvider Time { get; }

    public X509Certificate2 Certificate => _authority.Certificate;

    public static CertificateOrder Order(PeerRoles roles = PeerRoles.Stage, string name = "node-1", int days = 7, params string[] hosts) =>
        new(name, roles, hosts.Length > 0 ? hosts : ["localhost", "127.0.0.1"], TimeSpan.FromDays(days));

    public X509Certificate2 Issue(CertificateOrder order) => _authority.Issue(order);

    public X509Certificate2 Issue(PeerRoles roles = PeerRoles.Stage) => _authority.Issue(Order(roles));

    public PeerCredentials Credentials(X509Certificate2 certificate, SerialNumberList? pins = null, SerialNumberList? revoked = null, TimeProvider? time = null) =>
        new(X509CertificateLoader.LoadCertificate(Certificate.RawData), certificate, time ?? Time) { Pins = pins, Revoked = revoked };

    public PeerCredentials Credentials(PeerRoles roles = PeerRoles.Stage) => Credentials(Issue(roles));

    public void Dispose() => _authority.Dispose();
}
