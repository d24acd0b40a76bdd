using System.Diagnostics;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Pipeline.Protocol.Security;

namespace Pipeline.Protocol.Links;

/// <summary>Mutual TLS over a TCP socket, with blocking calls; the certificates are checked before a byte of ours is read.</summary>
internal sealed class TlsTransport : ILinkTransport
{
    // A chain is judged within a millisecond.
    private static readonly TimeSpan JudgeEvery = TimeSpan.FromSeconds(1);

    private readonly SocketTransport _socket;
    private readonly SslStream _stream;
    private readonly IPeerCredentials _credentials;
    private long _judgedAt = Stopwatch.GetTimestamp();
    private bool _isTrusted = true;

    private TlsTransport(SocketTransport socket, IPeerCredentials credentials)
    {
        _socket = socket;
        _credentials = credentials;
        _stream = new SslStream(new NetworkStream(socket.Socket, ownsSocket: false));
    }

    /// <inheritdoc/>
    public LinkKind Kind => LinkKind.Tls;

    /// <inheritdoc/>
    public string Source => _socket.Source;

    /// <inheritdoc/>
    public bool CanSend => _socket.CanSend;

    /// <inheritdoc/>
    public bool IsTrusted
    {
        get
        {
            if (Stopwatch.GetElapsedTime(_judgedAt) < JudgeEvery) return _isTrusted;
            _judgedAt = Stopwatch.GetTimestamp();
            return _isTrusted = _stream.RemoteCertificate is { } peer && MayLink(_credentials.RolesOf(peer));
        }
    }

    /// <inheritdoc/>
    public TimeSpan? ReceiveTimeout
    {
        set => _socket.ReceiveTimeout = value;
    }

    /// <summary>The listening side.</summary>
    /// <exception cref="AuthenticationException">The other end has no certificate of the run's authority, or none of a stage or coordinator.</exception>
    internal static TlsTransport Accept(SocketTransport socket, IPeerCredentials credentials) =>
        Secure(socket, credentials, stream => stream.AuthenticateAsServer(credentials.ForServer()));

    /// <summary>The connecting side.</summary>
    /// <exception cref="AuthenticationException">As above.</exception>
    internal static TlsTransport Connect(SocketTransport socket, string host, IPeerCredentials credentials) =>
        Secure(socket, credentials, stream => stream.AuthenticateAsClient(credentials.ForClient(host)));

    /// <inheritdoc/>
    public void Send(ReadOnlySpan<byte> head, ReadOnlySpan<byte> body)
    {
        try
        {
            if (!head.IsEmpty) _stream.Write(head);
            if (!body.IsEmpty) _stream.Write(body);
        }
        catch (Exception fault) when (fault is ObjectDisposedException or InvalidOperationException)
        {
            throw new IOException(fault.Message, fault);
        }
    }

    /// <inheritdoc/>
    public int Receive(Span<byte> into, Span<byte> spare)
    {
        try
        {
            return _stream.Read(into);
        }
        catch (Exception fault) when (fault is ObjectDisposedException or InvalidOperationException)
        {
            throw new IOException(fault.Message, fault);
        }
    }

    /// <inheritdoc/>
    // What the stream has read ahead cannot be seen: a small frame right behind another may be waited for in vain, for this moment.
    public bool AwaitData(TimeSpan patience) => _socket.AwaitData(patience);

    /// <inheritdoc/>
    public void Close() => _socket.Close();

    /// <inheritdoc/>
    public void Dispose()
    {
        _socket.Close();
        _stream.Dispose();
    }

    private static TlsTransport Secure(SocketTransport socket, IPeerCredentials credentials, Action<SslStream> authenticate)
    {
        var transport = new TlsTransport(socket, credentials);
        try
        {
            authenticate(transport._stream);
            RequireRole(transport._stream.RemoteCertificate, credentials);
            return transport;
        }
        catch
        {
            transport.Dispose();
            throw;
        }
    }

    private static bool MayLink(PeerRoles roles) => (roles & (PeerRoles.Stage | PeerRoles.Coordinator)) != PeerRoles.None;

    private static void RequireRole(X509Certificate? peer, IPeerCredentials credentials)
    {
        if (peer is null) throw new AuthenticationException("The other end showed no certificate.");
        var roles = credentials.RolesOf(peer);
        if (!MayLink(roles))
            throw new AuthenticationException($"The certificate of {peer.Subject} is for {roles}; links are for stages and coordinators.");
    }
}
