using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using Pipeline.Protocol.Security;

namespace Pipeline.Nodes;

/// <summary>The stream under a command: the socket itself on loopback, mutual TLS under the run's authority elsewhere.</summary>
internal static class ControlStream
{
    /// <summary>The side that takes commands.</summary>
    /// <exception cref="AuthenticationException">The peer has no certificate that may command.</exception>
    internal static async Task<Stream> AcceptAsync(NetworkStream socket, IPeerCredentials? credentials, CancellationToken cancellation)
    {
        if (credentials is null) return socket;
        SslStream encrypted = new(socket);
        await encrypted.AuthenticateAsServerAsync(credentials.ForServer(), cancellation).ConfigureAwait(false);
        // A node may ask too: it reports the death of another.
        return encrypted.RemoteCertificate is { } shown && credentials.RolesOf(shown) != PeerRoles.None
            ? encrypted
            : throw new AuthenticationException("The peer's certificate grants no role.");
    }

    /// <summary>The side that commands.</summary>
    /// <exception cref="AuthenticationException">The server is not of the same authority, or its certificate is for another host.</exception>
    internal static async Task<Stream> ConnectAsync(NetworkStream socket, string host, IPeerCredentials? credentials, CancellationToken cancellation)
    {
        if (credentials is null) return socket;
        SslStream encrypted = new(socket);
        await encrypted.AuthenticateAsClientAsync(credentials.ForClient(host), cancellation).ConfigureAwait(false);
        return encrypted;
    }
}
