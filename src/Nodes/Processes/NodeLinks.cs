using System.Security.Cryptography;
using System.Text;
using Akka.Actor;
using Akka.Configuration;
using Akka.Event;
using Pipeline.Protocol.Links;
using Pipeline.Protocol.Security;
using Pipeline.Protocol.Wire;

namespace Pipeline.Nodes;

/// <summary>The hub of a node's process: made from the node's settings, its events on the actor system's event stream and in its log.</summary>
internal static class NodeLinks
{
    /// <summary>Starts to listen; null where the node has no links.</summary>
    internal static LinkHub? Start(NodeSettings settings, ActorSystem system, IPeerCredentials? credentials)
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
                Credentials = credentials,
                // Without certificates links do not leave the machine, and nodes that can read each other's token belong together.
                Secret = credentials is not null ? [] : SHA256.HashData(Encoding.UTF8.GetBytes("links " + TokenFile.ReadOrCreate(settings.TokenPath))),
                Tunnels = settings.HasTunnels ? WireSetup.For(LinkHub.TunnelHocon.WithFallback(TunnelPlace(settings))) : null,
            },
            raised => Tell(raised, log, system.EventStream));
    }

    private static Config TunnelPlace(NodeSettings settings) => ConfigurationFactory.ParseString($$"""
        akka {
          loglevel = WARNING
          stdout-loglevel = WARNING
          remote.dot-netty.tcp { hostname = "{{settings.Host}}", port = 0 }
        }
        """);

    private static void Tell(LinkEvent raised, ILoggingAdapter log, EventStream stream)
    {
        if (raised is LinkWarning or LinkEnded) log.Warning("{0}", raised);
        stream.Publish(raised);
    }
}
