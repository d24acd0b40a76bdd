using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Pipeline.Protocol.Links;

/// <summary>
/// Makes the codes of one side of one handshake: HMAC-SHA256 under the cluster's secret, over which side speaks, the nonces of both, and
/// the message; so that nothing recorded can be played again, nor sent back to its author.
/// </summary>
/// <param name="key">The cluster's secret; empty where the folder of the socket or TLS keeps others out.</param>
/// <param name="isConnecting">Whether the connecting side speaks.</param>
/// <param name="greeting">Nonce of the accepting side.</param>
/// <param name="answer">Nonce of the connecting side; 0 while it is not known, that is in its own message.</param>
internal sealed class HandshakeSecret(byte[] key, bool isConnecting, ulong greeting, ulong answer)
{
    /// <summary>Writes the 32 bytes of a code.</summary>
    internal void CodeOf(ReadOnlySpan<byte> body, Span<byte> code)
    {
        using var hash = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, key);
        Span<byte> context = stackalloc byte[17];
        context[0] = isConnecting ? (byte)1 : (byte)2;
        BinaryPrimitives.WriteUInt64LittleEndian(context[1..], greeting);
        BinaryPrimitives.WriteUInt64LittleEndian(context[9..], answer);
        hash.AppendData(context);
        hash.AppendData(body);
        hash.GetHashAndReset(code);
    }
}
