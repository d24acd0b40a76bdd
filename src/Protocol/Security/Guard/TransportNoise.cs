using Akka.Event;

namespace Pipeline.Protocol.Security.Guard;

/// <summary>
/// Keeps a port scanner from filling the log: the transport writes errors with stack traces for every broken connection and every refused
/// handshake, where the guard writes one line and then counts. What the guard does not see is let through once a minute. Runs inside the loggers.
/// </summary>
/// <param name="time">Clock of the limit.</param>
internal sealed class TransportNoise(TimeProvider time) : LogFilterBase
{
    private static readonly TimeSpan Pause = TimeSpan.FromMinutes(1);

    /// <summary>What the guard says in one line: by the beginnings of what the transport says instead.</summary>
    private static readonly string[] SaidByTheGuard =
    [
        "Error caught channel", "TLS handshake failed", "TLS/SSL certificate validation failed", "Mutual TLS required but client did not provide a certificate",
        "Rejected incoming connection", "Half-close failed on channel", "Association with remote system", "Disassociated", "Tried to associate with unreachable remote address",
    ];

    /// <summary>What ends the start of a node, which says so itself, with the address and the remedy.</summary>
    private static readonly string[] SaidByTheNode = ["Failed to bind to", "Remoting system has been terminated abruptly"];

    /// <summary>What the transport alone knows, and says at each attempt.</summary>
    private static readonly string[] SaidOnceAMinute = ["Dropping message [", "No response from remote", "Association to ["];

    private readonly Lock _gate = new();
    private readonly long?[] _lastLines = new long?[SaidOnceAMinute.Length];

    /// <inheritdoc/>
    public override LogFilterType FilterType => LogFilterType.Content;

    /// <summary>As a part of an actor system's setup.</summary>
    internal static LogFilterSetup Filter(TimeProvider time) => new([new TransportNoise(time)]);

    /// <inheritdoc/>
    public override LogFilterDecision ShouldKeepMessage(LogEvent content, string? expandedMessage = null)
    {
        // The expanded form begins with time and source.
        var text = content.Message?.ToString() ?? "";
        if (SaidByTheGuard.Concat(SaidByTheNode).Any(beginning => text.StartsWith(beginning, StringComparison.Ordinal))) return LogFilterDecision.Drop;
        var kind = Array.FindIndex(SaidOnceAMinute, beginning => text.StartsWith(beginning, StringComparison.Ordinal));
        return kind < 0 || IsTime(kind) ? LogFilterDecision.NoDecision : LogFilterDecision.Drop;
    }

    private bool IsTime(int kind)
    {
        lock (_gate)
        {
            var now = time.GetTimestamp();
            if (_lastLines[kind] is { } last && time.GetElapsedTime(last, now) < Pause) return false;
            _lastLines[kind] = now;
            return true;
        }
    }
}
