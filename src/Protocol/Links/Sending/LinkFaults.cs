using System.Net.Sockets;
using System.Security.Authentication;

namespace Pipeline.Protocol.Links;

/// <summary>What an exception of a connection means.</summary>
internal static class LinkFaults
{
    /// <summary>How the loss was noticed.</summary>
    internal static LinkLoss LossOf(Exception fault) => fault switch
    {
        LinkRejectedException { Verdict: LinkVerdict.Corrupt } => LinkLoss.Corrupt,
        LinkRejectedException => LinkLoss.NotReady,
        LinkProtocolException => LinkLoss.Protocol,
        IOException { InnerException: SocketException socket } => LossOf(socket.SocketErrorCode),
        IOException { InnerException: ObjectDisposedException } => LinkLoss.Silent,
        _ => LinkLoss.Closed,
    };

    /// <summary>The other end's refusal, or this end's own; null if the connection merely broke.</summary>
    internal static LinkRejectedException? RejectionOf(Exception fault) => fault switch
    {
        LinkRejectedException rejection => rejection,
        LinkVersionException other => new LinkRejectedException(LinkVerdict.OtherVersion, Generation.First, other.Message),
        AuthenticationException other => new LinkRejectedException(LinkVerdict.NotAuthenticated, Generation.First, other.Message),
        _ => null,
    };

    private static LinkLoss LossOf(SocketError error) => error switch
    {
        // A Unix socket whose file is gone gives the last of these.
        SocketError.ConnectionRefused or SocketError.HostNotFound or SocketError.AddressNotAvailable => LinkLoss.Refused,
        // A receive that ran into its timeout gives the second.
        SocketError.TimedOut or SocketError.WouldBlock or SocketError.HostUnreachable or SocketError.NetworkUnreachable => LinkLoss.Silent,
        _ => LinkLoss.Closed,
    };
}
