using System.Globalization;
using System.Net;
using Akka.Actor.Setup;
using Akka.Configuration;
using Akka.Remote.Transport.DotNetty;
using Pipeline.Protocol.Security.Guard;
using Pipeline.Protocol.Wire;

namespace Pipeline.Protocol.Security;

/// <summary>Where a node listens and under which name others reach it.</summary>
/// <param name="Host">Name or address that others dial.</param>
/// <param name="Bind">Address that it listens on; null for <paramref name="Host"/>.</param>
/// <param name="Port">Port; 0 lets the system choose.</param>
public sealed record NodeEndpoint(string Host, string? Bind, int Port);

/// <summary>
/// How a node's Akka.Remote is set up so that nobody gets in who should not: mutual TLS under the run's authority, or loopback only; every
/// frame judged by <see cref="InboundPolicy"/> before anything is built of it; untrusted mode behind that.
/// </summary>
public sealed class SecureRemoting
{
    private readonly Config _hocon;
    private readonly TransportGuardSetup _guard;
    private readonly PeerCredentials? _credentials;

    private SecureRemoting(Config hocon, TransportGuardSetup guard, PeerCredentials? credentials, string notice)
    {
        (_hocon, _guard, _credentials) = (hocon, guard, credentials);
        Notice = notice;
    }

    /// <summary>Scheme of the addresses of this system and of all that it can talk to: <c>akka.ssl.tcp</c> or <c>akka.tcp</c>.</summary>
    public string Scheme => _credentials is null ? "akka.tcp" : "akka.ssl.tcp";

    /// <summary>One sentence for the operator: who may reach this node.</summary>
    public string Notice { get; }

    /// <summary>Frames and connections refused since the start.</summary>
    public long RefusalCount => _guard.Refusals.Count;

    /// <summary>Told of each node that this one dials in vain, on a thread of the transport; set before the actor system is made.</summary>
    public Action<DialRefusal> Refused
    {
        get => _guard.Refused;
        set => _guard.Refused = value;
    }

    /// <summary>Judges the settings, and makes the setup. Pure but for what the guard counts later.</summary>
    /// <param name="endpoint">Where the node listens.</param>
    /// <param name="credentials">For mutual TLS; null for none, and then for loopback only.</param>
    /// <param name="roles">What the node is to be.</param>
    /// <param name="trustedSelections">Paths that peers may select, such as <c>/user/coordinator</c>.</param>
    /// <param name="time">Clock of what is limited by time.</param>
    /// <exception cref="SecurityException">The node would be reachable without TLS, or its certificate is for another host or for other roles.</exception>
    public static SecureRemoting For(NodeEndpoint endpoint, PeerCredentials? credentials, PeerRoles roles, IReadOnlyList<string> trustedSelections, TimeProvider time)
    {
        if (credentials is null) RequireLoopback(endpoint);
        else RequireFit(endpoint, credentials.Own, roles);
        var guard = new TransportGuardSetup(new InboundPolicy(trustedSelections), credentials, time);
        return new SecureRemoting(Hocon(endpoint, credentials is not null, trustedSelections), guard, credentials, Sentence(endpoint, credentials));
    }

    /// <summary>The whole setup of the actor system: this, the protocol's serializers, and the caller's own configuration, which cannot weaken either.</summary>
    public ActorSystemSetup Complete(Config rest)
    {
        var setup = WireSetup.For(_hocon.WithFallback(rest)).And(_guard).And(TransportNoise.Filter(_guard.Time));
        return _credentials is null ? setup : setup.And(new DotNettySslSetup(
            _credentials.Certificate, suppressValidation: false, requireMutualAuthentication: true, _guard.Judge));
    }

    private static Config Hocon(NodeEndpoint endpoint, bool isEncrypted, IReadOnlyList<string> trustedSelections)
    {
        var trusted = InboundPolicy.ClusterSelections.Concat(trustedSelections).Select(path => $"\"{path}\"");
        return ConfigurationFactory.ParseString(string.Create(CultureInfo.InvariantCulture, $$"""
            akka.remote {
              untrusted-mode = on
              trusted-selection-paths = [{{string.Join(", ", trusted)}}]
              # A connection that says nothing is closed after this.
              handshake-timeout = 10s
              # Without a blank: Akka would take the quotes for a part of the name.
              adapters { {{TransportGuardProvider.Name}} = "{{typeof(TransportGuardProvider).FullName}},{{typeof(TransportGuardProvider).Assembly.GetName().Name}}" }
              dot-netty.tcp {
                applied-adapters = ["{{TransportGuardProvider.Name}}"]
                hostname = "{{endpoint.Bind ?? endpoint.Host}}"
                public-hostname = "{{endpoint.Host}}"
                port = {{endpoint.Port}}
                # Or two nodes could listen on one port, and each would get some of the connections.
                tcp-reuse-addr = off
                enable-ssl = {{(isEncrypted ? "on" : "off")}}
                ssl { suppress-validation = off, require-mutual-authentication = on }
              }
            }
            """));
    }

    private static void RequireLoopback(NodeEndpoint endpoint)
    {
        foreach (var address in new[] { endpoint.Host, endpoint.Bind ?? endpoint.Host })
        {
            if (!IsLoopback(address)) throw new SecurityException($"Without TLS a node binds to loopback only, and {SafeText.Of(address)} is an address that others reach. "
                + "Give it certificates (`pipeline certs init`, `pipeline certs issue`, then security.tls = on), or leave cluster.host at 127.0.0.1.");
        }
    }

    private static void RequireFit(NodeEndpoint endpoint, PeerIdentity own, PeerRoles roles)
    {
        if (!own.Covers(endpoint.Host)) throw new SecurityException($"cluster.host is {SafeText.Of(endpoint.Host)}, and the certificate of {own} is for {SafeText.Of(string.Join(", ", own.Hosts))}: "
            + $"the others would refuse it. Set cluster.host to one of these, or issue a certificate with --host {SafeText.Of(endpoint.Host)}.");
        if ((roles & ~own.Roles) is var missing && missing != PeerRoles.None)
            throw new SecurityException($"cluster.roles asks for {PeerRoleNames.Phrase(roles, "and")}, and the certificate of {own} does not grant {PeerRoleNames.Phrase(missing, "and")}. "
                + "Take the role out, or issue a certificate with it.");
    }

    private static string Sentence(NodeEndpoint endpoint, PeerCredentials? credentials) => credentials is null
        ? $"No TLS: this node listens on {endpoint.Bind ?? endpoint.Host} only, where processes of this machine reach it and nobody else."
        : $"Mutual TLS as {credentials.Own}, valid until {credentials.Own.ExpiresAt:yyyy-MM-dd}; peers need a certificate of the same authority.";

    private static bool IsLoopback(string host) =>
        string.Equals(host, "localhost", StringComparison.OrdinalIgnoreCase) || (IPAddress.TryParse(host.Trim('[', ']'), out var address) && IPAddress.IsLoopback(address));
}
