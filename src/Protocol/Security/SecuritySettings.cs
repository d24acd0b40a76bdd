namespace Pipeline.Protocol.Security;

/// <summary>How a process proves who it is; paths of files.</summary>
/// <param name="AuthorityPath">Certificate of the run's authority.</param>
/// <param name="CertificatePath">Certificate of this process.</param>
/// <param name="KeyPath">Its key.</param>
/// <param name="PinsPath">List of the only serial numbers that are let in; null for every certificate of the authority.</param>
/// <param name="RevokedPath">List of serial numbers that are not let in; null for none.</param>
public sealed record SecuritySettings(string AuthorityPath, string CertificatePath, string KeyPath, string? PinsPath, string? RevokedPath)
{
    /// <summary>Reads the files.</summary>
    /// <exception cref="SecurityException">One is missing, unreadable, or the certificate is of no use.</exception>
    public PeerCredentials Load(TimeProvider time)
    {
        foreach (var list in new[] { PinsPath, RevokedPath })
        {
            if (list is not null && !File.Exists(list)) throw new SecurityException($"The list of certificates {list} is missing. Put it there, or take the setting out.");
        }

        return new PeerCredentials(CertificateFolder.LoadCertificate(AuthorityPath), CertificateFolder.Load(CertificatePath, KeyPath), time)
        {
            Pins = PinsPath is null ? null : new(PinsPath),
            Revoked = RevokedPath is null ? null : new(RevokedPath),
        };
    }
}
