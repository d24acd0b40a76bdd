namespace Pipeline.Protocol.Security;

/// <summary>Certificates, keys or security settings cannot be used; the message says what was expected, what was found and what to do.</summary>
public sealed class SecurityException : Exception
{
    /// <param name="message">One sentence or a few.</param>
    /// <param name="inner">What caused it.</param>
    public SecurityException(string message, Exception? inner = null) : base(message, inner)
    {
    }
}
