using System.Runtime.Serialization;
using Akka.Actor;
using Akka.Configuration;
using Akka.Serialization;

namespace Pipeline.Protocol.Wire;

/// <summary>
/// Takes the place of Akka's JSON serializer (identifier 1), which would build any type that a peer names: it writes and reads nothing.
/// </summary>
public sealed class RefusingSerializer : Serializer
{
    /// <summary>Called by Akka, by name.</summary>
    /// <param name="system">The actor system that owns it.</param>
    public RefusingSerializer(ExtendedActorSystem system) : base(system)
    {
    }

    /// <summary>Called by Akka, by name, because its configuration has settings for the serializer called json.</summary>
    /// <param name="system">The actor system that owns it.</param>
    /// <param name="settings">Those of Akka's own JSON serializer; refusing needs none.</param>
    public RefusingSerializer(ExtendedActorSystem system, Config settings) : this(system) => _ = settings;

    /// <inheritdoc/>
    public override int Identifier => 1;

    /// <inheritdoc/>
    public override bool IncludeManifest => false;

    /// <inheritdoc/>
    public override byte[] ToBinary(object obj) =>
        throw new SerializationException($"{obj.GetType().Name} is bound to no serializer: only messages of the protocol leave an actor.");

    /// <inheritdoc/>
    public override object FromBinary(byte[] bytes, Type type) =>
        throw new SerializationException("A peer sent JSON; only messages of the protocol are read.");
}
