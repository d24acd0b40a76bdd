using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace Pipeline.Protocol.Security;

/// <summary>
/// What a node proves its identity with, and how it judges the identity of others, for connections under mutual TLS. Both options demand
/// and check the peer's certificate against the run's own authority; the role is judged after it, by the one who accepts. Safe for many threads.
/// </summary>
public interface IPeerCredentials
{
    /// <summary>Options for the side that listens: a client certificate is required and checked.</summary>
    SslServerAuthenticationOptions ForServer();

    /// <summary>Options for the side that connects.</summary>
    /// <param name="host">The name or address that the server's certificate must be for.</param>
    SslClientAuthenticationOptions ForClient(string host);

    /// <summary>
    /// What a peer may be, by its certificate, which the options above have already accepted. None once the certificate has expired or is
    /// revoked: whoever holds a connection open asks again now and then, and closes it.
    /// </summary>
    PeerRoles RolesOf(X509Certificate peer);
}
