using System.Buffers.Binary;
using System.Security.Authentication;
using System.Security.Cryptography;
using MessagePack;
using Pipeline.Protocol.Wire;

namespace Pipeline.Protocol.Links;

/// <summary>
/// How handshakes look on a connection. The accepting end begins with a greeting: magic, version, nonce. Each message after it is magic,
/// version, length, MessagePack, and a code over it that only who knows the cluster's secret can make, for this connection alone. The
/// magic and the version never change their place, so that any two builds can tell each other what they are.
/// </summary>
internal static class HandshakeEnvelope
{
    /// <summary>Raised with every change of what goes over a link.</summary>
    internal const ushort Version = 1;

    /// <summary>Bytes of a greeting.</summary>
    internal const int GreetingLength = PreambleLength + sizeof(ulong);

    private const int MaxBodyLength = 2048;
    private const int PreambleLength = 8;
    private const int CodeLength = 32;

    private static ReadOnlySpan<byte> Magic => "PLK\n"u8;

    /// <summary>The accepting end's first words.</summary>
    internal static byte[] Greeting(ulong nonce)
    {
        var bytes = new byte[GreetingLength];
        WritePreamble(bytes, 0);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(PreambleLength), nonce);
        return bytes;
    }

    /// <summary>The nonce of a greeting.</summary>
    internal static ulong ReadGreeting(ReadOnlySpan<byte> bytes)
    {
        ReadPreamble(bytes);
        return BinaryPrimitives.ReadUInt64LittleEndian(bytes[PreambleLength..]);
    }

    /// <summary>A preamble alone: tells a peer of another version which one this is.</summary>
    internal static byte[] BarePreamble()
    {
        var bytes = new byte[PreambleLength];
        WritePreamble(bytes, 0);
        return bytes;
    }

    /// <summary>A message with its code.</summary>
    internal static byte[] Seal<T>(T message, HandshakeSecret secret)
    {
        var body = MessagePackSerializer.Serialize(message, ClosedResolver.Options);
        var bytes = new byte[PreambleLength + body.Length + CodeLength];
        WritePreamble(bytes, checked((ushort)body.Length));
        body.CopyTo(bytes, PreambleLength);
        secret.CodeOf(body, bytes.AsSpan(PreambleLength + body.Length));
        return bytes;
    }

    /// <summary>Reads a message from a connection; nothing is built before its code is found right.</summary>
    /// <exception cref="LinkProtocolException">It is none.</exception>
    /// <exception cref="LinkVersionException">The other end speaks another version.</exception>
    /// <exception cref="AuthenticationException">The code is wrong.</exception>
    internal static T Open<T>(TransportReader reader, HandshakeSecret secret)
    {
        var length = ReadPreamble(reader.Take(PreambleLength).Span);
        if (length is 0 or > MaxBodyLength) throw new LinkProtocolException($"Expected a handshake of 1 to {MaxBodyLength} bytes, found {length}.");
        var bytes = reader.Take(length + CodeLength);
        Span<byte> code = stackalloc byte[CodeLength];
        secret.CodeOf(bytes.Span[..length], code);
        if (!CryptographicOperations.FixedTimeEquals(code, bytes.Span[length..]))
            throw new AuthenticationException("The other end does not know the cluster's secret.");
        if (NestingLimit.IsExceeded(bytes.Span[..length])) throw new LinkProtocolException($"The handshake is broken: it is nested deeper than {NestingLimit.Deepest} levels.");
        try
        {
            return MessagePackSerializer.Deserialize<T>(bytes[..length], ClosedResolver.Options)
                ?? throw new LinkProtocolException("Expected a handshake, found nil.");
        }
        catch (MessagePackSerializationException fault)
        {
            throw new LinkProtocolException($"The handshake is broken ({fault.Message}).", fault);
        }
    }

    private static void WritePreamble(Span<byte> bytes, ushort length)
    {
        Magic.CopyTo(bytes);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[4..], Version);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[6..], length);
    }

    private static int ReadPreamble(ReadOnlySpan<byte> bytes)
    {
        if (!bytes.StartsWith(Magic)) throw new LinkProtocolException("Expected a link of Pipeline, found other bytes.");
        var version = BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]);
        if (version != Version) throw new LinkVersionException(version);
        return BinaryPrimitives.ReadUInt16LittleEndian(bytes[6..]);
    }
}

/// <summary>The other end speaks another version of the link's protocol.</summary>
internal sealed class LinkVersionException(int version) : Exception(
    $"The other node speaks version {version} of the link protocol, this one version {HandshakeEnvelope.Version}: run the same build on all nodes.");
