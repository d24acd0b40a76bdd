using System.Runtime.Serialization;
using Akka.Actor;
using Akka.Serialization;

namespace Pipeline.Protocol.Wire;

/// <summary>
/// Takes the place of Akka's JSON serializer (identifier 1), which would build any type that a peer names: it writes and reads nothing.
/// </summary>
/// <param name="system">The actor system that owns it.</param>
public sealed class RefusingSerializer(ExtendedActorSystem system) : Serializer(system)
{
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
