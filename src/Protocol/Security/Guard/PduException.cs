namespace Pipeline.Protocol.Security.Guard;

/// <summary>What a peer sent is refused; the message says what it was, in signs that may stand in a log.</summary>
/// <param name="message">A clause that follows "refused from NAME:".</param>
internal sealed class PduException(string message) : Exception(message);
