using System.Security.Cryptography;
using System.Text;
using Akka.Actor;
using Akka.Configuration;
using Akka.Event;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Protocol.Links;
using Pipeline.Protocol.Security;

namespace Pipeline.Nodes;

/// <summary>The hub of a node's process: made from the node's settings, its events on the actor system's event stream and in its log.</summary>
internal static class NodeLinks
{
    private static readonly Config Quiet = ConfigurationFactory.ParseString("""
        akka {
          loglevel = WARNING
          stdout-loglevel = ERROR
          loggers = ["Pipeline.Nodes.NodeLogActor, Pipeline.Nodes"]
          log-dead-letters = off
          log-dead-letters-during-shutdown = off
          remote.log-remote-lifecycle-events = off
          coordinated-shutdown.run-by-clr-shutdown-hook = off
        }
        """);

    /// <summary>Starts to listen; null where the node has no links. The tunnels' actor system is guarded as the node's own is.</summary>
    /// <exception cref="SecurityException">The node would be reachable without TLS.</exception>
    internal static LinkHub? Start(NodeSettings settings, ActorSystem system, PeerCredentials? credentials, PeerRoles roles, NodeLog words, TimeProvider time)
    {
        if (settings.Links is not { } links) return null;
        var log = Logging.GetLogger(system, "links");
        return LinkHub.Start(
            new LinkHubOptions
            {
                Node = settings.Name,
                Cluster = settings.Cluster,
                Settings = links,
                TcpHost = settings.Host,
                TcpBind = settings.Bind,
                Credentials = credentials,
                // Without certificates links do not leave the machine, and nodes that can read each other's token belong together.
                Secret = credentials is not null ? [] : SHA256.HashData(Encoding.UTF8.GetBytes("links " + TokenFile.ReadOrCreate(settings.TokenPath))),
                Tunnels = settings.HasTunnels
                    ? SecureRemoting.For(new(settings.Host, settings.Bind, 0), credentials, roles, [LinkHub.TunnelPath], time).Complete(LinkHub.TunnelHocon.WithFallback(Quiet)).And(new NodeLogSetup(words))
                    : null,
            },
            raised => Tell(raised, log, system.EventStream));
    }

    /// <summary>
    /// Without certificates the token is what links know each other by: nodes that read different ones could join, and then send each other nothing. What is
    /// compared is a mark of it that tells no more than whether they differ.
    /// </summary>
    internal static IEnumerable<SharedSetting> SharedToken(NodeSettings settings) => settings.Security is not null ? [] :
        [new("cluster.token-file", $"a token marked {Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes("mark " + TokenFile.ReadOrCreate(settings.TokenPath))))[..8]}")];

    /// <summary>The links by which the node sends, for operators.</summary>
    internal static IReadOnlyList<LinkLine> Lines(string node, LinkHub? hub) => hub is null ? [] : [.. hub.Status
        .Where(status => status.Direction == LinkDirection.Outgoing && status.Peer.Claim.Purpose != LinkPurpose.Probe)
        .Select(status => new LinkLine(
            node, status.Peer.Node, Word(status.Peer.Kind), Word(status.Peer.Claim.Purpose), status.Peer.Claim.FromRank, status.Peer.Claim.ToRank, status.IsConnected,
            status.BytesSent, status.CreditBytes, status.QueuedBytes, status.ResentCount, status.ReconnectCount))];

    private static string Word<T>(T value) where T : struct, Enum => value.ToString().ToLowerInvariant();

    private static void Tell(LinkEvent raised, ILoggingAdapter log, EventStream stream)
    {
        if (raised is LinkWarning or LinkEnded) log.Say(LogLevel.WarningLevel, new LogSaying(raised is LinkEnded ? "link-ended" : "link-warning", $"{raised}"));
        stream.Publish(raised);
    }
}
