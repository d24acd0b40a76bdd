using System.Collections.Concurrent;
using System.Net;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Akka.Actor;
using Akka.Actor.Setup;
using Akka.Event;

namespace Pipeline.Protocol.Security.Guard;

/// <summary>
/// What the guard of one actor system knows: the policy, the credentials, and who is at the other end of which connection. The transport asks
/// <see cref="Judge"/> in each handshake and names the connection as it names it to the guard later, which is how the two meet.
/// </summary>
/// <param name="policy">What may be sent.</param>
/// <param name="credentials">How peers are judged; null without TLS.</param>
/// <param name="time">Clock of what is limited by time.</param>
internal sealed class TransportGuardSetup(InboundPolicy policy, PeerCredentials? credentials, TimeProvider time) : Setup
{
    /// <summary>Inbound connections at a time; a cluster of a thousand nodes has two from each at most.</summary>
    internal const int MostInboundConnections = 2048;

    private readonly ConcurrentDictionary<string, PeerIdentity> _peers = new(StringComparer.Ordinal);

    public InboundPolicy Policy { get; } = policy;

    public TimeProvider Time { get; } = time;

    public RefusalLog Refusals { get; } = new(time);

    /// <summary>Told of each node that this one dialled in vain, on a thread of the transport.</summary>
    public Action<DialRefusal> Refused { get; set; } = _ => { };

    /// <summary>Called by the transport in each handshake, on both sides.</summary>
    /// <param name="shown">The peer's certificate.</param>
    /// <param name="chain">What the machine's trust store makes of it: not used.</param>
    /// <param name="peer">The socket's address of a peer that dialled us, or the whole Akka address that we dial.</param>
    /// <param name="errors">What the machine's trust store makes of it: not used.</param>
    /// <param name="log">The transport's log.</param>
    public bool Judge(X509Certificate2? shown, X509Chain? chain, string peer, SslPolicyErrors errors, ILoggingAdapter log)
    {
        var verdict = credentials!.Judge(shown);
        var dialled = HostOf(peer);
        var fault = verdict.Reason ?? (dialled is not null && !verdict.Identity!.Covers(dialled) ? $"{SafeText.Of(dialled)} shows a certificate of {verdict.Identity}, which is not for it" : null);
        if (fault is not null)
        {
            Refusals.Report(log, dialled ?? SourceOf(peer), fault.TrimEnd('.'));
            if (dialled is not null) Refused(new DialRefusal(peer[(peer.LastIndexOf('@') + 1)..], fault.TrimEnd('.'), IsCertain: true));
            return false;
        }

        _peers[KeyOf(peer)] = verdict.Identity!;
        return true;
    }

    /// <summary>Who is at the other end of a connection; null if nobody has authenticated on it.</summary>
    /// <param name="remote">The socket's address of a peer that dialled us, or the address that we dialled.</param>
    /// <param name="isInbound">Which of the two.</param>
    public PeerIdentity? PeerOf(Address remote, bool isInbound) =>
        credentials is null ? PeerIdentity.Local : _peers.GetValueOrDefault(isInbound ? KeyOf(remote) : remote.ToString());

    /// <summary>A node that this one dialled has closed the connection without a word: it may not let this node in, or have ended.</summary>
    public void Closed(Address dialled)
    {
        if (credentials is not null) Refused(new DialRefusal(
            $"{dialled.Host}:{dialled.Port}", $"It closed the connection after the handshake and may not let in this node's certificate ({credentials.Own}, serial number {credentials.Own.SerialNumber})", IsCertain: false));
    }

    /// <summary>Whether a peer that was let in still would be.</summary>
    public bool IsStillAccepted(PeerIdentity peer) => credentials?.IsStillAccepted(peer) != false;

    /// <summary>A connection of a peer that dialled us is closed.</summary>
    public void Forget(Address remote) => _peers.TryRemove(KeyOf(remote), out _);

    private static string KeyOf(string peer) => IPEndPoint.TryParse(peer, out var socket) ? KeyOf(socket.Address, socket.Port) : peer;

    private static string KeyOf(Address remote) =>
        remote.Port is { } port && IPAddress.TryParse(remote.Host.Trim('[', ']'), out var address) ? KeyOf(address, port) : remote.ToString();

    private static string KeyOf(IPAddress address, int port) => new IPEndPoint(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address, port).ToString();

    private static string SourceOf(string peer) => IPEndPoint.TryParse(peer, out var socket) ? socket.Address.ToString() : peer;

    /// <summary>The host in <c>ssl.tcp://system@host:port</c>; null for the address of a socket.</summary>
    private static string? HostOf(string peer)
    {
        var at = peer.LastIndexOf('@');
        if (at < 0) return null;
        var colon = peer.LastIndexOf(':');
        return colon > at ? peer[(at + 1)..colon] : peer[(at + 1)..];
    }
}
