using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Pipeline.Protocol.Security;

/// <summary>
/// The files of a run's authority and of the certificates it issued: <c>ca.crt</c>, <c>ca.key</c>, <c>NAME.crt</c>, <c>NAME.key</c>, and
/// <c>issued.txt</c>, a line for each, which may serve as the list of pins. Only their owner may read them, and none is ever overwritten.
/// </summary>
/// <param name="folder">The folder.</param>
/// <param name="time">The clock of validity.</param>
public sealed class CertificateFolder(string folder, TimeProvider time)
{
    private const string AuthorityName = "ca";
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>The authority's certificate: every process needs it.</summary>
    public string Authority => In(AuthorityName, "crt");

    /// <summary>A line for each issued certificate, the serial number first.</summary>
    public string IssuedList => Path.Combine(folder, "issued.txt");

    /// <summary>The certificate of a name.</summary>
    public string Certificate(string name) => In(name, "crt");

    /// <summary>The key of a name.</summary>
    public string Key(string name) => In(name, "key");

    /// <summary>Makes the authority.</summary>
    /// <exception cref="SecurityException">There is one already.</exception>
    public void Initialise(string name, TimeSpan validity)
    {
        CreateFolder();
        using var authority = RunAuthority.Create(name, validity, time);
        Write(AuthorityName, authority.Certificate);
        WriteNew(IssuedList, "# One certificate a line, the serial number first. With security.pins set to this file, removing a line shuts its owner out.\n");
    }

    /// <summary>Issues a certificate.</summary>
    /// <exception cref="SecurityException">There is no authority here, or the name is taken.</exception>
    public PeerIdentity Issue(CertificateOrder order)
    {
        if (order.Name == AuthorityName) throw new SecurityException("The name ca is the authority's own; choose another one.");
        using var authority = new RunAuthority(Load(Authority, Key(AuthorityName), "there is no authority here: make one with `pipeline certs init`"), time);
        using var certificate = authority.Issue(order);
        Write(order.Name, certificate);
        var identity = PeerIdentity.Of(certificate);
        File.AppendAllText(IssuedList, string.Create(CultureInfo.InvariantCulture,
            $"{identity.SerialNumber} # {identity.Name}, {PeerRoleNames.Phrase(identity.Roles, "and")}, {string.Join(" ", identity.Hosts)}, until {identity.ExpiresAt:yyyy-MM-dd}\n"));
        return identity;
    }

    /// <summary>A certificate with its key, from two files.</summary>
    /// <exception cref="SecurityException">They are missing, unreadable, do not belong together, or others may read the key.</exception>
    public static X509Certificate2 Load(string certificatePath, string keyPath, string? remedy = null)
    {
        foreach (var path in new[] { certificatePath, keyPath })
        {
            if (!File.Exists(path)) throw new SecurityException($"The file {path} is missing{(remedy is null ? ". Issue a certificate with `pipeline certs issue`, and copy it here" : $"; {remedy}")}.");
        }

        if (!OperatingSystem.IsWindows() && File.GetUnixFileMode(keyPath).HasFlag(UnixFileMode.OtherRead))
            throw new SecurityException($"Everybody on this machine may read the key {keyPath}. Restrict it (chmod 600), and issue a new certificate if others had access.");
        return Parsed(certificatePath, () => X509Certificate2.CreateFromPemFile(certificatePath, keyPath));
    }

    /// <summary>A certificate without its key.</summary>
    /// <exception cref="SecurityException">It is missing or unreadable.</exception>
    public static X509Certificate2 LoadCertificate(string path)
    {
        if (!File.Exists(path)) throw new SecurityException($"The file {path} is missing: every process needs the authority's certificate, ca.crt.");
        return Parsed(path, () => X509CertificateLoader.LoadCertificateFromFile(path));
    }

    private static X509Certificate2 Parsed(string path, Func<X509Certificate2> parse)
    {
        try
        {
            return parse();
        }
        catch (Exception fault) when (fault is System.Security.Cryptography.CryptographicException or ArgumentException or IOException or UnauthorizedAccessException)
        {
            // The message of the library names neither the file nor, luckily, any content.
            throw new SecurityException($"{path} holds no certificate in PEM form that can be read, or its key is another one's ({fault.Message})", fault);
        }
    }

    private string In(string name, string extension) => Path.Combine(folder, $"{name}.{extension}");

    private void CreateFolder()
    {
        if (OperatingSystem.IsWindows()) Directory.CreateDirectory(folder);
        else Directory.CreateDirectory(folder, OwnerOnly | UnixFileMode.UserExecute);
    }

    private void Write(string name, X509Certificate2 certificate)
    {
        foreach (var path in new[] { Certificate(name), Key(name) })
        {
            if (File.Exists(path)) throw new SecurityException($"{path} exists already and is not overwritten. Choose another name or folder, or remove it yourself.");
        }

        using var key = certificate.GetECDsaPrivateKey()!;
        WriteNew(Key(name), key.ExportPkcs8PrivateKeyPem() + "\n");
        WriteNew(Certificate(name), certificate.ExportCertificatePem() + "\n");
    }

    private static void WriteNew(string path, string text)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = OwnerOnly;
        using var stream = new FileStream(path, options);
        stream.Write(Encoding.UTF8.GetBytes(text));
        stream.Flush(flushToDisk: true);
    }
}
