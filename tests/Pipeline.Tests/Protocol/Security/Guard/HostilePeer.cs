using System.Buffers.Binary;
using System.Net.Security;
using System.Net.Sockets;
using Pipeline.Protocol.Security;

namespace Pipeline.Tests.Protocol.Security.Guard;

/// <summary>A connection to a node's port that speaks Akka.Remote's protocol by hand, with or without TLS.</summary>
internal sealed class HostilePeer : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private readonly TcpClient _client;
    private Stream _stream = Stream.Null;

    private HostilePeer(TcpClient client) => _client = client;

    /// <summary>The other end of a connection that a node has made. Owned by the peer.</summary>
    public static HostilePeer Of(TcpClient client) => new(client) { _stream = client.GetStream() };

    public static async Task<HostilePeer> ConnectAsync(int port, PeerCredentials? credentials = null)
    {
        HostilePeer peer = new(new TcpClient());
        await peer._client.ConnectAsync("127.0.0.1", port);
        peer._stream = peer._client.GetStream();
        if (credentials is null) return peer;
        SslStream encrypted = new(peer._stream);
        var options = credentials.ForClient("127.0.0.1");
        await encrypted.AuthenticateAsClientAsync(options);
        peer._stream = encrypted;
        return peer;
    }

    /// <summary>Handshakes as Akka does, and waits for the answer.</summary>
    public async Task AssociateAsync(string host = "127.0.0.1")
    {
        await SendAsync(ForgedPdu.Associate(host));
        await ReadFrameAsync();
    }

    public async Task SendAsync(byte[] frame)
    {
        var length = new byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(length, frame.Length);
        await _stream.WriteAsync(length);
        await _stream.WriteAsync(frame);
        await _stream.FlushAsync();
    }

    public Task SendRawAsync(byte[] bytes) => _stream.WriteAsync(bytes).AsTask();

    public async Task<byte[]> ReadFrameAsync()
    {
        using CancellationTokenSource limit = new(Patience);
        var length = new byte[4];
        await _stream.ReadExactlyAsync(length, limit.Token);
        var frame = new byte[BinaryPrimitives.ReadInt32LittleEndian(length)];
        await _stream.ReadExactlyAsync(frame, limit.Token);
        return frame;
    }

    /// <summary>Waits until the other end closes; what comes before that is read away.</summary>
    public async Task<bool> IsClosedByPeerAsync()
    {
        using CancellationTokenSource limit = new(Patience);
        var buffer = new byte[4096];
        try
        {
            while (await _stream.ReadAsync(buffer, limit.Token) > 0)
            {
            }

            return true;
        }
        catch (IOException)
        {
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stream.DisposeAsync();
        _client.Dispose();
    }
}
