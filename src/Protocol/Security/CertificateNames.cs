using System.Security.Cryptography.X509Certificates;

namespace Pipeline.Protocol.Security;

/// <summary>What stands where in a certificate: CN is the process, each OU a role, O the run; times in UTC.</summary>
internal static class CertificateNames
{
    internal const string UnitOid = "2.5.4.11";
    private const string OrganisationOid = "2.5.4.10";

    internal static X500DistinguishedName Of(string name, string organisation, PeerRoles roles)
    {
        var builder = new X500DistinguishedNameBuilder();
        builder.AddOrganizationName(organisation);
        foreach (var role in PeerRoleNames.Of(roles)) builder.AddOrganizationalUnitName(role);
        builder.AddCommonName(name);
        return builder.Build();
    }

    internal static string Organisation(X509Certificate2 certificate) => Values(certificate, OrganisationOid).FirstOrDefault() ?? "";

    internal static IEnumerable<string> Values(X509Certificate2 certificate, string oid) => certificate.SubjectName.EnumerateRelativeDistinguishedNames()
        .Where(part => !part.HasMultipleElements && part.GetSingleElementType().Value == oid).Select(part => part.GetSingleElementValue() ?? "");

    internal static DateTimeOffset StartOf(X509Certificate2 certificate) => new(certificate.NotBefore.ToUniversalTime());

    internal static DateTimeOffset EndOf(X509Certificate2 certificate) => new(certificate.NotAfter.ToUniversalTime());
}
