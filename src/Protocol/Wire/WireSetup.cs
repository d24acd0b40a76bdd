using System.Collections.Immutable;
using Akka.Actor;
using Akka.Actor.Setup;
using Akka.Configuration;
using Akka.Serialization;

namespace Pipeline.Protocol.Wire;

/// <summary>What every actor system of ours starts with: our serializer bound, Akka's JSON replaced by one that refuses.</summary>
public static class WireSetup
{
    private const string Bindings = """
        akka {
          actor {
            serializers.pipeline = "Pipeline.Protocol.Wire.WireSerializer, Pipeline.Protocol"
            serialization-bindings { "Pipeline.Protocol.Wire.IWireMessage, Pipeline.Protocol" = pipeline }
          }
        }
        """;

    /// <summary>HOCON that binds the protocol's messages to <see cref="WireSerializer"/>.</summary>
    public static Config Hocon { get; } = ConfigurationFactory.ParseString(Bindings);

    /// <summary>
    /// For tests: every message between actors goes through its serializer, so that what is not ready to cross processes fails at once.
    /// </summary>
    public static Config SerializeEverything { get; } = ConfigurationFactory.ParseString("akka.actor.serialize-messages = on").WithFallback(Hocon);

    /// <summary>Replaces the serializer with identifier 1; to be combined with a <see cref="BootstrapSetup"/>.</summary>
    public static SerializationSetup Serializers() => SerializationSetup.Create(system =>
        ImmutableHashSet.Create(SerializerDetails.Create("json", new RefusingSerializer(system), ImmutableHashSet<Type>.Empty)));

    /// <summary>A complete setup from the caller's own configuration.</summary>
    /// <param name="config">Stronger than <see cref="Hocon"/>.</param>
    public static ActorSystemSetup For(Config config) =>
        ActorSystemSetup.Create(BootstrapSetup.Create().WithConfig(config.WithFallback(Hocon)), Serializers());
}
