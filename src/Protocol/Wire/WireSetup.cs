using Akka.Actor;
using Akka.Actor.Setup;
using Akka.Configuration;

namespace Pipeline.Protocol.Wire;

/// <summary>What every actor system of ours starts with: our serializer bound, Akka's JSON replaced by one that refuses.</summary>
public static class WireSetup
{
    // Replacing "json" by name, rather than adding a second serializer with its identifier, keeps Akka from warning of a clash.
    private const string Required = """
        akka {
          actor {
            serializers.json = "Pipeline.Protocol.Wire.RefusingSerializer, Pipeline.Protocol"
            serializers.pipeline = "Pipeline.Protocol.Wire.WireSerializer, Pipeline.Protocol"
            serialization-bindings { "Pipeline.Protocol.Wire.IWireMessage, Pipeline.Protocol" = pipeline }
            # An actor that failed has lost its state: it stops and is reported, it does not begin anew under its old name.
            guardian-supervisor-strategy = "Akka.Actor.StoppingSupervisorStrategy"
          }
        }
        """;

    /// <summary>HOCON that binds the protocol's messages and lets no other serializer write or read arbitrary types.</summary>
    public static Config Hocon { get; } = ConfigurationFactory.ParseString(Required);

    /// <summary>
    /// For tests: every message between actors goes through its serializer, so that what is not ready to cross processes fails at once.
    /// </summary>
    public static Config SerializeEverything { get; } = ConfigurationFactory.ParseString("akka.actor.serialize-messages = on");

    /// <summary>A complete setup from the caller's own configuration, which cannot weaken <see cref="Hocon"/>.</summary>
    public static ActorSystemSetup For(Config config) => ActorSystemSetup.Create(BootstrapSetup.Create().WithConfig(Hocon.WithFallback(config)));
}
