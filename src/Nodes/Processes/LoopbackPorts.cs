using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Pipeline.Nodes;

/// <summary>
/// Ports of this machine's loopback that nobody listens on. Another program may take one between the choice and its use, so whoever starts
/// a listener on it must be ready to hear that it is taken.
/// </summary>
public static class LoopbackPorts
{
    // Below those that Linux (from 32,768), macOS and Windows (from 49,152) give to outgoing connections and to whoever asks for port 0: these
    // are taken by the hundred while a cluster starts, and one that was free a second ago would not be.
    private const int First = 16_384;
    private const int Last = 32_767;

    /// <summary>So many different free ports.</summary>
    /// <param name="count">At least 1.</param>
    /// <exception cref="SocketException">Hardly any port is free.</exception>
    public static IReadOnlyList<int> Free(int count)
    {
        // All are held until the last is chosen, or one of them might be chosen twice.
        List<TcpListener> listeners = [];
        try
        {
            while (listeners.Count < count) listeners.Add(Listen(tries: 100));
            return [.. listeners.Select(listener => ((IPEndPoint)listener.LocalEndpoint).Port)];
        }
        finally
        {
            foreach (var listener in listeners) listener.Dispose();
        }
    }

    private static TcpListener Listen(int tries)
    {
        TcpListener listener = new(IPAddress.Loopback, RandomNumberGenerator.GetInt32(First, Last + 1));
        try
        {
            listener.Start();
            return listener;
        }
        catch (SocketException) when (tries > 1)
        {
            listener.Dispose();
            return Listen(tries - 1);
        }
    }
}
