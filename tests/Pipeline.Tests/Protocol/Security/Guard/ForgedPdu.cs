using System.Text;
using Google.Protobuf;

namespace Pipeline.Tests.Protocol.Security.Guard;

/// <summary>Frames of Akka.Remote written field by field, as an attacker would, without the types that they pretend to be.</summary>
internal static class ForgedPdu
{
    private const int NoSequence = -1;

    public static byte[] Associate(string host, int port = 4053, string system = "evil", string transport = "ssl.tcp") => Message(output =>
        Nested(output, 2, Message(instruction =>
        {
            Number(instruction, 1, 1);
            Nested(instruction, 2, Message(handshake =>
            {
                Nested(handshake, 1, Message(origin =>
                {
                    Text(origin, 1, system);
                    Text(origin, 2, host);
                    Number(origin, 3, port);
                    Text(origin, 4, transport);
                }));
                handshake.WriteTag(2, WireFormat.WireType.Fixed64);
                handshake.WriteFixed64(42);
            }));
        })));

    /// <summary>What Akka says to a system that it has quarantined.</summary>
    public static byte[] Quarantined() => Message(output => Nested(output, 2, Message(instruction => Number(instruction, 1, 5))));

    public static byte[] Carrying(string recipient, byte[] payload, long sequence = NoSequence) => Message(output =>
        Nested(output, 1, Message(container =>
            Nested(container, 2, Message(envelope =>
            {
                Nested(envelope, 1, Message(reference => Text(reference, 1, recipient)));
                Nested(envelope, 2, payload);
                envelope.WriteTag(5, WireFormat.WireType.Fixed64);
                envelope.WriteFixed64(unchecked((ulong)sequence));
            })))));

    public static byte[] Payload(int serializer, string manifest, byte[] content) => Message(output =>
    {
        Nested(output, 1, content);
        Number(output, 2, serializer);
        if (manifest.Length > 0) Text(output, 3, manifest);
    });

    /// <summary>A selection by names; <paramref name="type"/> 1 is a parent, 2 a name, 3 a pattern.</summary>
    public static byte[] Selection(byte[] payload, int type, params string[] names) => Payload(6, "", Message(output =>
    {
        Nested(output, 1, payload);
        foreach (var name in names)
        {
            Nested(output, 2, Message(element =>
            {
                Number(element, 1, type);
                Text(element, 2, name);
            }));
        }
    }));

    /// <summary>A question (or its answer) that carries an object.</summary>
    public static byte[] Correlated(string manifest, byte[] inner) => Payload(16, manifest, Message(output => Nested(output, 1, inner)));

    public static byte[] Message(Action<CodedOutputStream> write)
    {
        using MemoryStream bytes = new();
        using (CodedOutputStream output = new(bytes, leaveOpen: true)) write(output);
        return bytes.ToArray();
    }

    public static void Nested(CodedOutputStream output, int field, byte[] content)
    {
        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteBytes(ByteString.CopyFrom(content));
    }

    private static void Text(CodedOutputStream output, int field, string text) => Nested(output, field, Encoding.UTF8.GetBytes(text));

    private static void Number(CodedOutputStream output, int field, int number)
    {
        output.WriteTag(field, WireFormat.WireType.Varint);
        output.WriteInt32(number);
    }
}
