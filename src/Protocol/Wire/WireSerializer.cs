using System.Runtime.Serialization;
using Akka.Actor;
using Akka.Serialization;
using MessagePack;
using Pipeline.Protocol.Frames;

namespace Pipeline.Protocol.Wire;

/// <summary>
/// Akka's way to MessagePack for every <see cref="IWireMessage"/>: a closed table of manifests, refused by name when unknown.
/// </summary>
/// <param name="system">The actor system that owns it.</param>
public sealed class WireSerializer(ExtendedActorSystem system) : SerializerWithStringManifest(system)
{
    /// <summary>Part of the wire format: never changes.</summary>
    public const int FixedIdentifier = 4711;

    /// <inheritdoc/>
    public override int Identifier => FixedIdentifier;

    /// <inheritdoc/>
    public override string Manifest(object o) => EntryOf(o).Manifest;

    /// <inheritdoc/>
    public override byte[] ToBinary(object obj) => EntryOf(obj).Write(obj);

    /// <inheritdoc/>
    public override object FromBinary(byte[] bytes, string manifest)
    {
        var entry = WireManifests.Of(manifest)
            ?? throw new SerializationException($"No message has the manifest '{Shortened(manifest)}'; it is refused.");
        if (NestingLimit.IsExceeded(bytes)) throw new SerializationException($"A message with the manifest '{manifest}' is nested deeper than {NestingLimit.Deepest} levels; it is refused.");
        try
        {
            var message = entry.Read(bytes) ?? throw new SerializationException($"A message with the manifest '{manifest}' is empty; it is refused.");
            return MissingParts.In(message) is { } missing ? throw new SerializationException($"A message with the manifest '{manifest}' lacks {missing}; it is refused.") : message;
        }
        catch (Exception fault) when (fault is MessagePackSerializationException or FrameException)
        {
            throw new SerializationException($"A message with the manifest '{manifest}' is broken ({fault.Message}); it is refused.", fault);
        }
    }

    private static WireManifests.Entry EntryOf(object message) => WireManifests.Of(message.GetType())
        ?? throw new SerializationException($"{message.GetType().Name} stands in no manifest table: it cannot cross processes.");

    private static string Shortened(string manifest) => manifest.Length <= 32 ? manifest : manifest[..32] + "…";
}
