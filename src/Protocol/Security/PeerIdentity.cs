using System.Security.Cryptography.X509Certificates;

namespace Pipeline.Protocol.Security;

/// <summary>Who a peer is, as a certificate says that the run's authority signed.</summary>
/// <param name="Name">Name of the process, such as <c>node-1</c>. Chosen by whoever issued the certificate; goes through <see cref="SafeText"/> before it is shown.</param>
/// <param name="Roles">What it may be.</param>
/// <param name="SerialNumber">Upper-case hexadecimal; what lists of pinned and of revoked certificates hold.</param>
/// <param name="Hosts">Host names and addresses from which it may speak; a name may begin with <c>*.</c>.</param>
/// <param name="ExpiresAt">End of its validity.</param>
public sealed record PeerIdentity(string Name, PeerRoles Roles, string SerialNumber, IReadOnlyList<string> Hosts, DateTimeOffset ExpiresAt)
{
    /// <summary>Every peer where there is no TLS: only loopback reaches such a node, and its users are trusted.</summary>
    public static PeerIdentity Local { get; } = new("local", PeerRoles.All, "", ["localhost", "127.0.0.1", "::1"], DateTimeOffset.MaxValue);

    /// <summary>Whether it may speak for a host.</summary>
    public bool Covers(string host) => Hosts.Any(own => Matches(own, host.Trim('[', ']')));

    /// <inheritdoc/>
    public override string ToString() => $"{SafeText.Of(Name)} ({PeerRoleNames.Phrase(Roles, "and")}{(SerialNumber.Length > 0 ? ", certificate " + SerialNumber : "")})";

    /// <summary>Reads the certificate; judges nothing.</summary>
    internal static PeerIdentity Of(X509Certificate2 certificate)
    {
        var roles = PeerRoles.None;
        foreach (var word in CertificateNames.Values(certificate, CertificateNames.UnitOid)) roles |= PeerRoleNames.Role(word);
        return new PeerIdentity(
            certificate.GetNameInfo(X509NameType.SimpleName, forIssuer: false), roles, certificate.SerialNumber, HostsOf(certificate), CertificateNames.EndOf(certificate));
    }

    private static List<string> HostsOf(X509Certificate2 certificate)
    {
        var names = certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>().SingleOrDefault();
        return names is null ? [] : [.. names.EnumerateDnsNames(), .. names.EnumerateIPAddresses().Select(address => address.ToString())];
    }

    private static bool Matches(string own, string host)
    {
        if (string.Equals(own, host, StringComparison.OrdinalIgnoreCase)) return true;
        if (!own.StartsWith("*.", StringComparison.Ordinal)) return false;
        // As in RFC 6125: the star stands for the first label only.
        var dot = host.IndexOf('.', StringComparison.Ordinal);
        return dot > 0 && string.Equals(own[1..], host[dot..], StringComparison.OrdinalIgnoreCase);
    }
}
