using System.Net;
using System.Net.Sockets;

namespace Pipeline.Protocol.Links;

/// <summary>A listening socket with the thread that accepts.</summary>
internal sealed class LinkListener : IDisposable
{
    private const int Backlog = 512;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);

    private readonly object _pause = new();
    private readonly Socket _socket;
    private readonly Action<SocketTransport> _accepted;

    private LinkListener(Socket socket, Action<SocketTransport> accepted)
    {
        _socket = socket;
        _accepted = accepted;
    }

    /// <summary>The port, of a TCP listener.</summary>
    internal int Port => ((IPEndPoint)_socket.LocalEndPoint!).Port;

    /// <summary>Listens on a Unix socket.</summary>
    internal static LinkListener Unix(UnixSocketFolder folder, Action<SocketTransport> accepted)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(folder.BindingPath));
        socket.Listen(Backlog);
        File.Move(folder.BindingPath, folder.SocketPath);
        return Start(socket, accepted, "link listener (unix)");
    }

    /// <summary>Listens on a TCP socket.</summary>
    /// <exception cref="SocketException">The place is taken or not this machine's.</exception>
    internal static LinkListener Tcp(IPEndPoint place, Action<SocketTransport> accepted)
    {
        var socket = new Socket(place.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(place);
        socket.Listen(Backlog);
        return Start(socket, accepted, "link listener (tcp)");
    }

    /// <inheritdoc/>
    public void Dispose() => _socket.Dispose();

    private static LinkListener Start(Socket socket, Action<SocketTransport> accepted, string name)
    {
        var listener = new LinkListener(socket, accepted);
        new Thread(listener.Accept, maxStackSize: 256 * 1024) { IsBackground = true, Name = name }.Start();
        return listener;
    }

    private void Accept()
    {
        while (true)
        {
            Socket? accepted = null;
            try
            {
                accepted = _socket.Accept();
                _accepted(SocketTransport.Accepted(accepted));
            }
            catch (ObjectDisposedException)
            {
                accepted?.Dispose();
                return;
            }
            catch (SocketException fault)
            {
                accepted?.Dispose();
                if (fault.SocketErrorCode is SocketError.OperationAborted or SocketError.Interrupted or SocketError.InvalidArgument or SocketError.NotSocket) return;
                // Gone before it was accepted: the next one may do. Too many open files: some may be closed in a moment.
                lock (_pause) Monitor.Wait(_pause, Pause);
            }
        }
    }
}
