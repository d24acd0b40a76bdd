using Akka.Event;

namespace Pipeline.Protocol.Security.Guard;

/// <summary>
/// Keeps a port scanner from filling the log: the transport writes an error with a stack trace for every broken connection, where the guard
/// writes one line and then counts.
/// </summary>
internal static class TransportNoise
{
    internal static LogFilterSetup Filter() => new LogFilterBuilder()
        .ExcludeMessageContaining("Error caught channel")
        .ExcludeMessageContaining("Mutual TLS required but client did not provide a certificate")
        .ExcludeMessageContaining("Rejected incoming connection")
        .Build();
}
