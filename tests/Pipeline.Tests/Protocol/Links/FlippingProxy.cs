using System.Net;
using System.Net.Sockets;

namespace Pipeline.Tests.Protocol.Links;

/// <summary>Stands between a sender and a port of the loopback, and alters one bit of what the sender says on its first connections, each at the place that is asked for.</summary>
internal sealed class FlippingProxy : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly int _port;
    private readonly IReadOnlyList<long> _places;
    private int _connections;
    private int _flipped;

    /// <param name="port">Where everything goes.</param>
    /// <param name="places">For each connection in turn, which byte from the sender is altered; later ones stay as they are.</param>
    internal FlippingProxy(int port, params long[] places)
    {
        (_port, _places) = (port, places);
        _listener.Start();
        _ = ServeAsync();
    }

    internal int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Bits altered so far.</summary>
    internal int FlippedCount => Volatile.Read(ref _flipped);

    public void Dispose() => _listener.Dispose();

    private async Task ServeAsync()
    {
        try
        {
            while (true) _ = ServeAsync(await _listener.AcceptTcpClientAsync());
        }
        catch (Exception ended) when (ended is SocketException or ObjectDisposedException or InvalidOperationException)
        {
            // The test is over.
        }
    }

    private async Task ServeAsync(TcpClient sender)
    {
        var connection = Interlocked.Increment(ref _connections) - 1;
        using (sender)
        using (TcpClient receiver = new())
        {
            try
            {
                await receiver.ConnectAsync(IPAddress.Loopback, _port);
                // Whichever way ends first ends both.
                await Task.WhenAny(
                    PumpAsync(sender.GetStream(), receiver.GetStream(), connection < _places.Count ? _places[connection] : long.MaxValue),
                    PumpAsync(receiver.GetStream(), sender.GetStream(), long.MaxValue));
            }
            catch (Exception broken) when (broken is IOException or SocketException)
            {
                // As connections are.
            }
        }
    }

    private async Task PumpAsync(NetworkStream from, NetworkStream to, long place)
    {
        var buffer = new byte[16 << 10];
        long passed = 0;
        try
        {
            while (await from.ReadAsync(buffer) is var count and > 0)
            {
                if (place >= passed && place < passed + count)
                {
                    buffer[place - passed] ^= 1;
                    Interlocked.Increment(ref _flipped);
                }

                passed += count;
                await to.WriteAsync(buffer.AsMemory(0, count));
            }
        }
        catch (Exception broken) when (broken is IOException or ObjectDisposedException)
        {
            // The other way has ended.
        }
    }
}
