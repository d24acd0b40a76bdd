using System.Net;
using System.Net.Sockets;

namespace Pipeline.Protocol.Links;

/// <summary>
/// A Unix or TCP socket with blocking calls. Links have threads of their own, so that neither a busy thread pool nor its wake-ups stand
/// between the kernel and a frame; measured, blocking calls need about as much processor time as asynchronous ones.
/// </summary>
internal sealed class SocketTransport : ILinkTransport
{
    // Default buffers of Unix sockets give 550 MiB/s at 1 MiB, these 4,900. TCP is left to the system, which tunes itself and better.
    private const int UnixBufferBytes = 1 << 20;

    private readonly Socket _socket;
    private int _isClosed;

    private SocketTransport(Socket socket, LinkKind kind, string source)
    {
        _socket = socket;
        Kind = kind;
        Source = source;
    }

    /// <inheritdoc/>
    public LinkKind Kind { get; }

    /// <inheritdoc/>
    public string Source { get; }

    /// <inheritdoc/>
    public bool CanSend
    {
        get
        {
            try
            {
                return Volatile.Read(ref _isClosed) == 0 && _socket.Poll(0, SelectMode.SelectWrite);
            }
            catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
            {
                return false;
            }
        }
    }

    /// <inheritdoc/>
    public TimeSpan? ReceiveTimeout
    {
        set => _socket.ReceiveTimeout = value is { } time ? Math.Max(1, (int)time.TotalMilliseconds) : 0;
    }

    /// <summary>The socket, for TLS on top of it.</summary>
    internal Socket Socket => _socket;

    /// <summary>A socket that a listener accepted.</summary>
    internal static SocketTransport Accepted(Socket socket)
    {
        if (socket.AddressFamily == AddressFamily.Unix)
        {
            Widen(socket);
            return new SocketTransport(socket, LinkKind.Unix, "unix");
        }

        socket.NoDelay = true;
        return new SocketTransport(socket, LinkKind.Tcp, ((IPEndPoint)socket.RemoteEndPoint!).Address.ToString());
    }

    /// <summary>Connects to a Unix socket.</summary>
    /// <exception cref="IOException">Nobody listens there.</exception>
    internal static SocketTransport Unix(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        Widen(socket);
        Connect(socket, new UnixDomainSocketEndPoint(path));
        return new SocketTransport(socket, LinkKind.Unix, "unix");
    }

    /// <summary>Connects over TCP.</summary>
    /// <exception cref="IOException">Nobody listens there, or it takes too long.</exception>
    internal static SocketTransport Tcp(string host, int port, TimeSpan timeout)
    {
        IPAddress address;
        try
        {
            address = Dns.GetHostAddresses(host).FirstOrDefault() ?? throw new SocketException((int)SocketError.HostNotFound);
        }
        catch (SocketException fault)
        {
            throw new IOException($"{host}: {fault.Message}", fault);
        }

        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        // A blocking connect would wait minutes for a host that is cut off; disposing the socket ends it.
        using var deadline = new Timer(_ => socket.Dispose(), null, timeout, Timeout.InfiniteTimeSpan);
        Connect(socket, new IPEndPoint(address, port));
        return new SocketTransport(socket, LinkKind.Tcp, address.ToString());
    }

    /// <inheritdoc/>
    public void Send(ReadOnlySpan<byte> head, ReadOnlySpan<byte> body)
    {
        try
        {
            if (VectoredIo.IsSupported && !head.IsEmpty && !body.IsEmpty)
            {
                var sent = VectoredIo.Send(_socket, head, body);
                var ofBody = Math.Max(0, sent - head.Length);
                head = head[(sent - ofBody)..];
                body = body[ofBody..];
            }

            SendAll(head);
            SendAll(body);
        }
        catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
        {
            throw new IOException(fault.Message, fault);
        }
    }

    /// <inheritdoc/>
    public int Receive(Span<byte> into, Span<byte> spare)
    {
        try
        {
            return VectoredIo.IsSupported && !spare.IsEmpty ? VectoredIo.Receive(_socket, into, spare) : _socket.Receive(into);
        }
        catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
        {
            throw new IOException(fault.Message, fault);
        }
    }

    /// <inheritdoc/>
    public bool AwaitData(TimeSpan patience)
    {
        try
        {
            return _socket.Poll(patience, SelectMode.SelectRead);
        }
        catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
        {
            return true;
        }
    }

    /// <inheritdoc/>
    public void Close()
    {
        if (Interlocked.Exchange(ref _isClosed, 1) != 0) return;
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (SocketException)
        {
            // The other end was faster.
        }

        _socket.Dispose();
    }

    /// <inheritdoc/>
    public void Dispose() => Close();

    private static void Widen(Socket socket)
    {
        socket.SendBufferSize = UnixBufferBytes;
        socket.ReceiveBufferSize = UnixBufferBytes;
    }

    private static void Connect(Socket socket, EndPoint place)
    {
        try
        {
            socket.Connect(place);
        }
        catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
        {
            socket.Dispose();
            throw new IOException(fault is ObjectDisposedException ? $"No answer from {place} in time." : fault.Message, fault);
        }
    }

    private void SendAll(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty) bytes = bytes[_socket.Send(bytes)..];
    }
}
