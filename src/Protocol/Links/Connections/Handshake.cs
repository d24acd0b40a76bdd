using System.Security.Authentication;
using System.Security.Cryptography;

namespace Pipeline.Protocol.Links;

/// <summary>The two sides of how a connection begins: greeting, hello, welcome. Blocking; who calls sets a deadline.</summary>
internal static class Handshake
{
    /// <summary>A number that nobody can foresee.</summary>
    internal static ulong Draw()
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        RandomNumberGenerator.Fill(bytes);
        return BitConverter.ToUInt64(bytes) | 1;
    }

    /// <summary>The connecting side.</summary>
    internal static LinkWelcome Connect(ILinkTransport transport, TransportReader reader, LinkHello hello, byte[] key)
    {
        ulong greeting;
        try
        {
            greeting = HandshakeEnvelope.ReadGreeting(reader.Take(HandshakeEnvelope.GreetingLength).Span);
        }
        catch (LinkVersionException)
        {
            // So that the other node's log names both versions too.
            transport.Send(HandshakeEnvelope.BarePreamble(), []);
            throw;
        }

        transport.Send(HandshakeEnvelope.Seal(hello, new HandshakeSecret(key, isConnecting: true, greeting, 0)), []);
        return HandshakeEnvelope.Open<LinkWelcome>(reader, new HandshakeSecret(key, isConnecting: false, greeting, hello.Nonce));
    }

    /// <summary>The accepting side, up to the answer.</summary>
    /// <returns>The hello and what its answer is sealed with.</returns>
    internal static (LinkHello Hello, HandshakeSecret Secret) Accept(ILinkTransport transport, TransportReader reader, byte[] key)
    {
        var greeting = Draw();
        transport.Send(HandshakeEnvelope.Greeting(greeting), []);
        try
        {
            var hello = HandshakeEnvelope.Open<LinkHello>(reader, new HandshakeSecret(key, isConnecting: true, greeting, 0));
            return (hello, new HandshakeSecret(key, isConnecting: false, greeting, hello.Nonce));
        }
        catch (AuthenticationException)
        {
            // Its code cannot be right for the other end either, which so learns that the secrets differ instead of trying for ever.
            var refusal = new LinkWelcome(LinkVerdict.NotAuthenticated, Generation.First, 0, 0, 0, "");
            transport.Send(HandshakeEnvelope.Seal(refusal, new HandshakeSecret(key, isConnecting: false, greeting, 0)), []);
            throw;
        }
    }
}
