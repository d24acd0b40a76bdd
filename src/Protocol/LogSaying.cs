using Akka.Event;

namespace Pipeline.Protocol;

/// <summary>An entry of a node's log that has a name, by which it is found whatever its words. As text it is its sentence alone.</summary>
/// <param name="Event">Its name, words joined by dashes.</param>
/// <param name="Message">A sentence.</param>
/// <param name="Rank">The rank that is meant; null for none.</param>
/// <param name="Step">The step that is meant; null for none.</param>
public sealed record LogSaying(string Event, string Message, int? Rank = null, long? Step = null)
{
    /// <inheritdoc/>
    public override string ToString() => Message;
}

/// <summary>Named entries for logs of Akka.</summary>
public static class LogSayings
{
    /// <summary>Writes one.</summary>
    /// <param name="log">Where to.</param>
    /// <param name="level">How much it matters.</param>
    /// <param name="saying">What it says.</param>
    /// <param name="fault">What caused it; null for nothing.</param>
    public static void Say(this ILoggingAdapter log, LogLevel level, LogSaying saying, Exception? fault = null)
    {
        if (log.IsEnabled(level)) log.Log(level, fault, "{0}", saying);
    }
}
