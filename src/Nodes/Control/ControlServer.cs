using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Akka.Actor;
using Pipeline.Protocol.Security;

namespace Pipeline.Nodes;

/// <summary>
/// A port on which operators' programs command a run: one JSON line in, one JSON line out, then the connection ends. Who does not show the
/// token learns nothing. It listens on one address only, which is loopback unless the caller says otherwise.
/// </summary>
public sealed class ControlServer : IAsyncDisposable
{
    private const int MaximumLineBytes = 1 << 20;
    private const int MaximumConnections = 16;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(32);
    private readonly TcpListener _listener;
    private readonly byte[] _token;
    private readonly Func<ControlRequest, CancellationToken, Task<ControlReply>> _answer;
    private readonly IPeerCredentials? _credentials;
    private readonly Action<string, string>? _refused;
    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _room = new(MaximumConnections);
    private readonly Task _accepting;

    private ControlServer(TcpListener listener, string token, Func<ControlRequest, CancellationToken, Task<ControlReply>> answer, IPeerCredentials? credentials, string? publicHost, Action<string, string>? refused)
    {
        _refused = refused;
        _credentials = credentials;
        _listener = listener;
        _token = Encoding.UTF8.GetBytes(token);
        _answer = answer;
        Token = token;
        var local = (IPEndPoint)listener.LocalEndpoint;
        Address = publicHost is null ? local.ToString() : publicHost.Contains(':', StringComparison.Ordinal) ? $"[{publicHost.Trim('[', ']')}]:{local.Port}" : $"{publicHost}:{local.Port}";
        _accepting = AcceptAsync();
    }

    /// <summary>Host and port at which it is reached.</summary>
    public string Address { get; }

    /// <summary>What a request must show.</summary>
    public string Token { get; }

    /// <summary>Listens.</summary>
    /// <param name="address">Where; port 0 lets the system choose.</param>
    /// <param name="token">What a request must show; see <see cref="NewToken"/>.</param>
    /// <param name="answer">Carries out a request whose token is right.</param>
    /// <param name="credentials">For mutual TLS; null for none, on loopback.</param>
    /// <param name="publicHost">Name or address that others dial; null for the one that it listens on.</param>
    /// <param name="refused">Told whom it refuses, and why: the token is wrong, the certificate is, or its role.</param>
    /// <exception cref="SocketException">The port is taken, or the address is not of this machine.</exception>
    public static ControlServer Start(IPEndPoint address, string token, Func<ControlRequest, CancellationToken, Task<ControlReply>> answer, IPeerCredentials? credentials = null, string? publicHost = null, Action<string, string>? refused = null)
    {
        TcpListener listener = new(address);
        listener.Start();
        return new ControlServer(listener, token, answer, credentials, publicHost, refused);
    }

    /// <summary>256 random bits in hexadecimal.</summary>
    public static string NewToken() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        await _accepting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            await _room.WaitAsync(_stop.Token).ConfigureAwait(false);
            var client = await _listener.AcceptTcpClientAsync(_stop.Token).ConfigureAwait(false);
            _ = ServeAsync(client);
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using var connection = client;
        var source = $"{client.Client.RemoteEndPoint}";
        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            patience.CancelAfter(Patience);
            var (accepted, roles) = await ControlStream.AcceptAsync(client.GetStream(), _credentials, patience.Token).ConfigureAwait(false);
            using var stream = accepted;
            if (await ControlLine.ReadAsync(stream, MaximumLineBytes, patience.Token).ConfigureAwait(false) is not { } line) return;
            var reply = await ReplyToAsync(line, source, roles, patience.Token).ConfigureAwait(false);
            await ControlLine.WriteAsync(stream, JsonSerializer.SerializeToUtf8Bytes(reply, ControlJson.Default.ControlReply), patience.Token).ConfigureAwait(false);
        }
        catch (AuthenticationException fault)
        {
            _refused?.Invoke(source, $"No certificate that may command: {fault.Message}");
        }
        catch (Exception gone) when (gone is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // The peer left or dawdled, or the server is closing.
        }
        finally
        {
            _room.Release();
        }
    }

    private async Task<ControlReply> ReplyToAsync(byte[] line, string source, PeerRoles roles, CancellationToken cancellation)
    {
        if (Parse(line) is not { Token: not null, Command: not null } request)
            return new ControlReply(false, "Expected one line of JSON with a token and a command.");
        if (!CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(request.Token), _token))
            return Refuse(source, "The token is not that of this endpoint. Take the one that endpoint.json names.");
        if (request.Command is ControlCommand.Operate or ControlCommand.Stop or ControlCommand.Rebalance or ControlCommand.Submit or ControlCommand.Profile && (roles & (PeerRoles.Operator | PeerRoles.Coordinator)) == PeerRoles.None)
            return Refuse(source, "The certificate grants no role that may command. Use one with the role 'operator': pipeline certs issue --role operator.");
        try
        {
            return await _answer(request, cancellation).ConfigureAwait(false);
        }
        catch (Exception fault) when (fault is TimeoutException or AskTimeoutException)
        {
            return new ControlReply(false, "Nobody leads the cluster at the moment. Try again in a few seconds.");
        }
    }

    private ControlReply Refuse(string source, string sentence)
    {
        _refused?.Invoke(source, sentence);
        return new ControlReply(false, sentence);
    }

    private static ControlRequest? Parse(byte[] line)
    {
        try
        {
            return JsonSerializer.Deserialize(line, ControlJson.Default.ControlRequest);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
