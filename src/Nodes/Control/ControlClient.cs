using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text.Json;
using Pipeline.Protocol.Security;

namespace Pipeline.Nodes;

/// <summary>Asks a <see cref="ControlServer"/>.</summary>
public static class ControlClient
{
    private const int MaximumLineBytes = 1 << 22;

    /// <summary>Sends one request and reads its answer.</summary>
    /// <param name="address">Host and port.</param>
    /// <param name="request">What is asked.</param>
    /// <param name="patience">How long it may take.</param>
    /// <param name="credentials">For mutual TLS; null for none.</param>
    /// <returns>The answer; null where nobody answers there, or is not of the same authority.</returns>
    public static async Task<ControlReply?> AskAsync(string address, ControlRequest request, TimeSpan patience, IPeerCredentials? credentials = null)
    {
        using CancellationTokenSource limit = new(patience);
        try
        {
            if (!TrySplit(address, out var host, out var port)) return null;
            using TcpClient client = new();
            await client.ConnectAsync(host, port, limit.Token).ConfigureAwait(false);
            using var stream = await ControlStream.ConnectAsync(client.GetStream(), host, credentials, limit.Token).ConfigureAwait(false);
            await ControlLine.WriteAsync(stream, JsonSerializer.SerializeToUtf8Bytes(request, ControlJson.Default.ControlRequest), limit.Token).ConfigureAwait(false);
            var line = await ControlLine.ReadAsync(stream, MaximumLineBytes, limit.Token).ConfigureAwait(false);
            return line is null ? null : JsonSerializer.Deserialize(line, ControlJson.Default.ControlReply);
        }
        catch (Exception unreachable) when (unreachable is SocketException or IOException or AuthenticationException or OperationCanceledException or JsonException)
        {
            return null;
        }
    }

    /// <summary>Whether a text is a host and a port.</summary>
    public static bool TrySplit(string address, out string host, out int port)
    {
        var colon = address.LastIndexOf(':');
        (host, port) = colon > 0 ? (address[..colon].Trim('[', ']'), 0) : ("", 0);
        return colon > 0 && int.TryParse(address.AsSpan(colon + 1), out port) && port is > 0 and <= IPEndPoint.MaxPort;
    }
}
