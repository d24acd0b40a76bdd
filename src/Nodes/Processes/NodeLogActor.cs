using Akka.Actor;
using Akka.Actor.Setup;
using Akka.Dispatch;
using Akka.Event;
using Pipeline.Operator;
using Pipeline.Protocol;
using MessageLevel = Microsoft.Extensions.Logging.LogLevel;

namespace Pipeline.Nodes;

/// <summary>Gives the actor system of a node its log.</summary>
/// <param name="log">The log; not owned.</param>
internal sealed class NodeLogSetup(NodeLog log) : Setup
{
    /// <summary>The log.</summary>
    internal NodeLog Log => log;
}

/// <summary>
/// Has everything that is logged in a node's actor system written in the form of the node's log: our own entries under their names, those of Akka under
/// the name <c>akka</c>. Named in the configuration, made by Akka.
/// </summary>
public sealed class NodeLogActor : ReceiveActor, IRequiresMessageQueue<ILoggerMessageQueueSemantics>
{
    private readonly NodeLog _log = Context.System.Settings.Setup.Get<NodeLogSetup>().Value.Log;

    /// <summary>Called by Akka.</summary>
    public NodeLogActor()
    {
        Receive<InitializeLogger>(_ => Sender.Tell(new LoggerInitialized()));
        Receive<LogEvent>(Write);
    }

    private void Write(LogEvent entry)
    {
        if (!Context.System.Settings.LogFilter.ShouldTryKeepMessage(entry, out _)) return;
        var saying = entry.Message as LogSaying ?? (entry.Message as LogMessage)?.Parameters().OfType<LogSaying>().FirstOrDefault();
        var sentence = saying?.Message ?? entry.Message?.ToString() ?? "";
        if (entry.Cause is { } cause && !sentence.Contains(cause.Message, StringComparison.Ordinal)) sentence = $"{sentence.TrimEnd('.')}: {cause.Message}";
        // Traces are for whoever debugs, not for a log.
        sentence = string.Join(' ', sentence.Split('\n').TakeWhile(line => !line.TrimStart().StartsWith("at ", StringComparison.Ordinal)).Select(line => line.Trim()));
        _log.Write(LevelOf(entry.LogLevel()), entry.LogClass?.FullName ?? entry.LogSource, saying?.Event ?? "akka", sentence, saying?.Rank, saying?.Step);
    }

    private static MessageLevel LevelOf(LogLevel level) => level switch
    {
        LogLevel.DebugLevel => MessageLevel.Debug,
        LogLevel.InfoLevel => MessageLevel.Information,
        LogLevel.WarningLevel => MessageLevel.Warning,
        _ => MessageLevel.Error,
    };
}
