using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace Pipeline.Protocol.Security;

/// <summary>
/// Mutual TLS with the run's authority as the only root: the machine's trust store is never asked. Owns the certificates that it was
/// given. A peer is let in if the authority signed its certificate, the certificate is valid now, names a role, stands in the list
/// of pins (if there is one) and not in that of revoked ones.
/// </summary>
public sealed class PeerCredentials : IPeerCredentials, IDisposable
{
    private readonly X509Certificate2 _authority;
    private readonly TimeProvider _time;

    /// <param name="authority">The run's authority, without its key.</param>
    /// <param name="certificate">This process's certificate, with its key.</param>
    /// <param name="time">The clock that validity is judged by.</param>
    /// <exception cref="SecurityException">The certificate would not be let in by its own authority.</exception>
    public PeerCredentials(X509Certificate2 authority, X509Certificate2 certificate, TimeProvider time)
    {
        _authority = authority;
        _time = time;
        Certificate = certificate;
        var verdict = JudgeSigned(certificate);
        Own = verdict.Identity ?? throw new SecurityException($"This process's own certificate cannot be used: {verdict.Reason} Issue a new one with `pipeline certs issue`.");
    }

    /// <summary>Only these certificates are let in; null for every one that the authority signed.</summary>
    public SerialNumberList? Pins { get; init; }

    /// <summary>These certificates are not let in.</summary>
    public SerialNumberList? Revoked { get; init; }

    /// <summary>With its key; stays owned by this object.</summary>
    public X509Certificate2 Certificate { get; }

    /// <summary>Who this process is.</summary>
    public PeerIdentity Own { get; }

    /// <inheritdoc/>
    public SslServerAuthenticationOptions ForServer() => new()
    {
        ServerCertificate = Certificate,
        ClientCertificateRequired = true,
        EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
        AllowRenegotiation = false,
        CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
        RemoteCertificateValidationCallback = (_, shown, _, _) => Judge(shown).IsAccepted,
    };

    /// <inheritdoc/>
    public SslClientAuthenticationOptions ForClient(string host) => new()
    {
        TargetHost = host,
        ClientCertificates = [Certificate],
        LocalCertificateSelectionCallback = (_, _, _, _, _) => Certificate,
        EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
        AllowRenegotiation = false,
        CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
        RemoteCertificateValidationCallback = (_, shown, _, _) => Judge(shown).Identity?.Covers(host) == true,
    };

    /// <inheritdoc/>
    public PeerRoles RolesOf(X509Certificate peer) => Judge(peer).Identity?.Roles ?? PeerRoles.None;

    /// <summary>Judges a certificate as it would be judged in a handshake now.</summary>
    /// <param name="shown">What the peer showed; null if nothing.</param>
    public PeerVerdict Judge(X509Certificate? shown)
    {
        if (shown is null) return PeerVerdict.Refuse("The peer showed no certificate.");
        if (shown is X509Certificate2 complete) return JudgeComplete(complete);
        using var copy = X509CertificateLoader.LoadCertificate(shown.GetRawCertData());
        return JudgeComplete(copy);
    }

    /// <summary>Whether a peer that was let in would be let in now: its certificate has not expired, nor has a list changed against it.</summary>
    public bool IsStillAccepted(PeerIdentity peer) => _time.GetUtcNow() <= peer.ExpiresAt && ListFault(peer) is null;

    /// <inheritdoc/>
    public void Dispose()
    {
        Certificate.Dispose();
        _authority.Dispose();
    }

    private PeerVerdict JudgeComplete(X509Certificate2 certificate)
    {
        var verdict = JudgeSigned(certificate);
        return verdict.Identity is { } identity && ListFault(identity) is { } fault ? PeerVerdict.Refuse(fault) : verdict;
    }

    private PeerVerdict JudgeSigned(X509Certificate2 certificate)
    {
        var who = SafeText.Of(certificate.Subject);
        var (now, start, end) = (_time.GetUtcNow(), CertificateNames.StartOf(certificate), CertificateNames.EndOf(certificate));
        if (now > end) return PeerVerdict.Refuse($"The certificate of {who} expired on {end:yyyy-MM-dd HH:mm} UTC.");
        if (now < start) return PeerVerdict.Refuse($"The certificate of {who} begins to be valid on {start:yyyy-MM-dd HH:mm} UTC: is the clock right?");
        if (!IsSigned(certificate, now)) return PeerVerdict.Refuse($"The certificate of {who} was not signed by the run's authority but by {SafeText.Of(certificate.Issuer)}.");
        var identity = PeerIdentity.Of(certificate);
        return identity.Roles == PeerRoles.None ? PeerVerdict.Refuse($"The certificate of {who} names none of the roles {string.Join(", ", PeerRoleNames.Words)}.") : PeerVerdict.Accept(identity);
    }

    private bool IsSigned(X509Certificate2 certificate, DateTimeOffset now)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.Add(_authority);
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.VerificationTime = now.UtcDateTime;
        // Exactly the leaf and its authority: the authority itself is no peer.
        return chain.Build(certificate) && chain.ChainElements.Count == 2;
    }

    private string? ListFault(PeerIdentity peer)
    {
        try
        {
            if (Revoked?.Contains(peer.SerialNumber) == true) return $"The certificate of {peer} is revoked.";
            return Pins?.Contains(peer.SerialNumber) == false ? $"The certificate of {peer} does not stand in the list of pins." : null;
        }
        catch (SecurityException unreadable)
        {
            return unreadable.Message;
        }
    }
}
