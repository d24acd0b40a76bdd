using System.Net;
using System.Net.Sockets;

namespace Pipeline.Nodes;

/// <summary>
/// Ports of this machine's loopback that nobody listens on. Chosen by the system; another program may take one between the choice and
/// its use, so whoever starts a listener on it must be ready to hear that it is taken.
/// </summary>
public static class LoopbackPorts
{
    /// <summary>So many different free ports.</summary>
    /// <param name="count">At least 1.</param>
    public static IReadOnlyList<int> Free(int count)
    {
        // All are held until the last is chosen, or the system might offer one of them twice.
        List<TcpListener> listeners = [];
        try
        {
            for (var index = 0; index < count; index++)
            {
                TcpListener listener = new(IPAddress.Loopback, 0);
                listeners.Add(listener);
                listener.Start();
            }

            return [.. listeners.Select(listener => ((IPEndPoint)listener.LocalEndpoint).Port)];
        }
        finally
        {
            foreach (var listener in listeners) listener.Dispose();
        }
    }
}
