using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Pipeline.Protocol.Security;

/// <summary>What a certificate is wanted for.</summary>
/// <param name="Name">Name of the process.</param>
/// <param name="Roles">What it may be; at least one.</param>
/// <param name="Hosts">Host names (one may begin with <c>*.</c>) and addresses from which it speaks.</param>
/// <param name="Validity">From now on.</param>
public sealed record CertificateOrder(string Name, PeerRoles Roles, IReadOnlyList<string> Hosts, TimeSpan Validity);

/// <summary>
/// A run's own certificate authority: ECDSA over P-256, trusted by nobody but the processes that are given its certificate. Owns the
/// certificate and its key. Whoever has the key can let anyone in, so it stays where certificates are issued.
/// </summary>
/// <param name="certificate">With its private key; owned from now on.</param>
/// <param name="time">The clock of validity.</param>
public sealed class RunAuthority(X509Certificate2 certificate, TimeProvider time) : IDisposable
{
    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";

    /// <summary>Certificates are valid from an hour ago, since clocks of machines differ.</summary>
    private static readonly TimeSpan ClockSkew = TimeSpan.FromHours(1);

    /// <summary>The certificate that every process of the run trusts.</summary>
    public X509Certificate2 Certificate { get; } = certificate;

    /// <summary>Makes a new authority.</summary>
    /// <param name="name">Name of the run or of the cluster.</param>
    /// <param name="validity">From now on.</param>
    /// <param name="time">The clock.</param>
    public static RunAuthority Create(string name, TimeSpan validity, TimeProvider time)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(CertificateNames.Of($"{name} authority", name, PeerRoles.None), key, HashAlgorithmName.SHA256);
        // A path length of zero: it signs processes, and no authority below it.
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: true, pathLengthConstraint: 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        var now = time.GetUtcNow();
        return new RunAuthority(request.CreateSelfSigned(now - ClockSkew, now + validity), time);
    }

    /// <summary>Issues a certificate for client and server alike, with a key of its own.</summary>
    /// <returns>With its private key; owned by the caller.</returns>
    /// <exception cref="SecurityException">It would outlive the authority.</exception>
    public X509Certificate2 Issue(CertificateOrder order)
    {
        var (now, ownStart, ownEnd) = (time.GetUtcNow(), CertificateNames.StartOf(Certificate), CertificateNames.EndOf(Certificate));
        var end = now + order.Validity;
        if (end > ownEnd)
            throw new SecurityException($"A certificate until {end:yyyy-MM-dd} would outlive its authority, which ends on {ownEnd:yyyy-MM-dd}. Ask for fewer days, or make a new authority.");
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(CertificateNames.Of(order.Name, CertificateNames.Organisation(Certificate), order.Roles), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: false, hasPathLengthConstraint: false, pathLengthConstraint: 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(ServerAuthentication), new Oid(ClientAuthentication)], critical: true));
        request.CertificateExtensions.Add(Hosts(order.Hosts));
        var start = now - ClockSkew;
        var begin = start < ownStart ? ownStart : start;
        using var signed = request.Create(Certificate, begin, end, RandomNumberGenerator.GetBytes(16));
        return signed.CopyWithPrivateKey(key);
    }

    /// <inheritdoc/>
    public void Dispose() => Certificate.Dispose();

    private static X509Extension Hosts(IEnumerable<string> hosts)
    {
        var names = new SubjectAlternativeNameBuilder();
        foreach (var host in hosts)
        {
            if (IPAddress.TryParse(host, out var address)) names.AddIpAddress(address);
            else names.AddDnsName(host);
        }

        return names.Build();
    }
}
