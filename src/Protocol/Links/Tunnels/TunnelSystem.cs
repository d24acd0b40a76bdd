using Akka.Actor;
using Akka.Actor.Setup;
using Akka.Configuration;

namespace Pipeline.Protocol.Links;

/// <summary>
/// A node's second actor system, which carries nothing but tunnels, so that bulk never shares a connection with heartbeats. Owns the system.
/// </summary>
internal sealed class TunnelSystem : IDisposable
{
    private readonly ActorSystem _system;

    /// <summary>Starts the system.</summary>
    /// <param name="setup">Its configuration, with <see cref="Hocon"/> in it.</param>
    /// <param name="accepted">Takes the tunnels that others open.</param>
    internal TunnelSystem(ActorSystemSetup setup, Action<ILinkTransport> accepted)
    {
        _system = ActorSystem.Create("links", setup);
        _system.ActorOf(TunnelGateActor.Props(accepted), TunnelGateActor.Name);
        Address = ((ExtendedActorSystem)_system).Provider.DefaultAddress.ToString();
    }

    /// <summary>What the system needs besides where it listens and who may reach it.</summary>
    internal static Config Hocon { get; } = ConfigurationFactory.ParseString("""
        akka {
          actor.provider = remote
          remote {
            retry-gate-closed-for = 1s
            dot-netty.tcp { maximum-frame-size = 128000b, batching.enabled = off }
          }
        }
        """);

    /// <summary>Where others open tunnels to.</summary>
    internal string Address { get; }

    /// <summary>Opens a tunnel; blocking.</summary>
    /// <exception cref="IOException">The other end does not answer in time.</exception>
    internal TunnelTransport Connect(string address, TimeSpan patience)
    {
        var transport = new TunnelTransport(address);
        var end = _system.ActorOf(TunnelEndActor.Props(transport, _system.ActorSelection($"{address}/user/{TunnelGateActor.Name}"), Handshake.Draw()));
        try
        {
            transport.AwaitOpening(patience);
            return transport;
        }
        catch
        {
            _system.Stop(end);
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _ = _system.Terminate();
}
