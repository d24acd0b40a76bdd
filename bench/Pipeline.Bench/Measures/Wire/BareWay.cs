using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using Pipeline.Protocol.Security;

namespace Pipeline.Bench.Measures.Wire;

/// <summary>
/// What a link is measured against: a socket, or an <see cref="SslStream"/> over one, between two threads that do nothing but send one
/// buffer and receive into another, without headers, receipts or credits. The buffers are those of the link's way.
/// </summary>
internal sealed class BareWay : IWireWay
{
    private readonly WireMemory _from;
    private readonly WireMemory _to;
    private readonly Socket _sender;
    private readonly Socket _receiver;
    private readonly SslStream? _tlsSender;
    private readonly SslStream? _tlsReceiver;

    private BareWay(Socket sender, Socket receiver, IPeerCredentials? credentials, WireMemory from, WireMemory to)
    {
        (_sender, _receiver, _from, _to) = (sender, receiver, from, to);
        if (credentials is null) return;
        _tlsSender = new SslStream(new NetworkStream(sender));
        _tlsReceiver = new SslStream(new NetworkStream(receiver));
        var accepting = Task.Run(() => _tlsReceiver.AuthenticateAsServer(credentials.ForServer()));
        _tlsSender.AuthenticateAsClient(credentials.ForClient("127.0.0.1"));
        accepting.Wait();
    }

    /// <summary>Over a Unix socket with the buffers of the link's.</summary>
    internal static BareWay Unix(WireMemory from, WireMemory to)
    {
        var folder = Directory.CreateTempSubdirectory("wire-");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        var place = new UnixDomainSocketEndPoint(Path.Combine(folder.FullName, "s"));
        listener.Bind(place);
        listener.Listen();
        var sender = Widened(new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified));
        sender.Connect(place);
        var receiver = Widened(listener.Accept());
        folder.Delete(recursive: true);
        return new BareWay(sender, receiver, null, from, to);
    }

    /// <summary>Over TCP on loopback; under mutual TLS where there are credentials.</summary>
    internal static BareWay Tcp(IPeerCredentials? credentials, WireMemory from, WireMemory to)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        var sender = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        sender.Connect(listener.LocalEndPoint!);
        var receiver = listener.Accept();
        receiver.NoDelay = true;
        return new BareWay(sender, receiver, credentials, from, to);
    }

    /// <inheritdoc/>
    public void Transfer(int frameBytes, int count)
    {
        var receiving = new Thread(() =>
        {
            for (var index = 0; index < count; index++) Receive(_to.Span(frameBytes));
        });
        receiving.Start();
        for (var index = 0; index < count; index++) Send(_from.Span(frameBytes));
        receiving.Join();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _tlsSender?.Dispose();
        _tlsReceiver?.Dispose();
        _sender.Dispose();
        _receiver.Dispose();
    }

    private static Socket Widened(Socket socket)
    {
        (socket.SendBufferSize, socket.ReceiveBufferSize) = (1 << 20, 1 << 20);
        return socket;
    }

    private void Send(ReadOnlySpan<byte> bytes)
    {
        if (_tlsSender is not null) _tlsSender.Write(bytes);
        else while (!bytes.IsEmpty) bytes = bytes[_sender.Send(bytes)..];
    }

    private void Receive(Span<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var count = _tlsReceiver?.Read(bytes) ?? _receiver.Receive(bytes);
            if (count == 0) throw new IOException("The bare way was closed.");
            bytes = bytes[count..];
        }
    }
}
