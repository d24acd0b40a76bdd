using System.Text;

namespace Pipeline.Protocol.Security.Guard;

/// <summary>A serialised object as Akka.Remote carries it: the number of its serializer, its manifest, its bytes.</summary>
internal readonly ref struct CarriedObject(int serializer, string manifest, ReadOnlySpan<byte> content)
{
    private const int LongestManifest = 256;

    public int Serializer { get; } = serializer;

    public string Manifest { get; } = manifest;

    public ReadOnlySpan<byte> Content { get; } = content;

    /// <summary>Akka.Remote's Payload: message = 1, serializerId = 2, messageManifest = 3.</summary>
    public static CarriedObject Of(ReadOnlySpan<byte> payload)
    {
        var (serializer, manifest) = (0, "");
        ReadOnlySpan<byte> content = default;
        var fields = new ProtobufFields(payload);
        while (fields.Next())
        {
            if (fields.Field == 1) content = fields.RequireBytes();
            else if (fields.Field == 2) serializer = fields.RequireInt32();
            else if (fields.Field == 3) manifest = Text(fields.RequireBytes());
        }

        return new CarriedObject(serializer, manifest, content);
    }

    private static string Text(ReadOnlySpan<byte> utf8) =>
        utf8.Length <= LongestManifest ? Encoding.UTF8.GetString(utf8) : throw new PduException($"a manifest of {utf8.Length} bytes");
}

/// <summary>
/// One frame of Akka.Remote (AkkaProtocolMessage) taken apart as far as it takes to judge it: the host that its sender claims in
/// a handshake, or the object that it carries, or neither (heartbeats, acknowledgements, farewells).
/// </summary>
internal readonly ref struct InboundPdu
{
    private InboundPdu(string? claimedHost, bool hasObject, CarriedObject carried)
    {
        ClaimedHost = claimedHost;
        HasObject = hasObject;
        Carried = carried;
    }

    /// <summary>The host from which the sender of an association says that it speaks; null in every other frame.</summary>
    public string? ClaimedHost { get; }

    /// <summary>Whether an object is carried.</summary>
    public bool HasObject { get; }

    /// <summary>The object.</summary>
    public CarriedObject Carried { get; }

    /// <summary>AkkaProtocolMessage: payload = 1, instruction = 2.</summary>
    /// <exception cref="PduException">The frame is malformed.</exception>
    public static InboundPdu Of(ReadOnlySpan<byte> frame)
    {
        ReadOnlySpan<byte> payload = default, instruction = default;
        var fields = new ProtobufFields(frame);
        while (fields.Next())
        {
            if (fields.Field == 1) payload = fields.RequireBytes();
            else if (fields.Field == 2) instruction = fields.RequireBytes();
        }

        return !instruction.IsEmpty ? new InboundPdu(HostOf(instruction), false, default) : OfPayload(payload);
    }

    /// <summary>AckAndEnvelopeContainer: envelope = 2; RemoteEnvelope: message = 2.</summary>
    private static InboundPdu OfPayload(ReadOnlySpan<byte> payload)
    {
        var envelope = Only(payload, 2, out var hasEnvelope);
        if (!hasEnvelope) return default;
        var message = Only(envelope, 2, out var hasMessage);
        return hasMessage ? new InboundPdu(null, true, CarriedObject.Of(message)) : throw new PduException("an envelope without a message");
    }

    /// <summary>AkkaControlMessage: handshakeInfo = 2; AkkaHandshakeInfo: origin = 1; AddressData: hostname = 2.</summary>
    private static string? HostOf(ReadOnlySpan<byte> instruction)
    {
        var handshake = Only(instruction, 2, out var isHandshake);
        if (!isHandshake) return null;
        var host = Only(Only(handshake, 1, out _), 2, out _);
        return host.Length <= 255 ? Encoding.UTF8.GetString(host) : throw new PduException($"a host name of {host.Length} bytes");
    }

    private static ReadOnlySpan<byte> Only(ReadOnlySpan<byte> message, int field, out bool isThere)
    {
        ReadOnlySpan<byte> found = default;
        isThere = false;
        var fields = new ProtobufFields(message);
        while (fields.Next())
        {
            if (fields.Field != field) continue;
            found = fields.RequireBytes();
            isThere = true;
        }

        return found;
    }
}
