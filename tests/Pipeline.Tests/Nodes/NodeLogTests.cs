using System.Text.Json.Nodes;
using Akka.Actor;
using Akka.Configuration;
using Akka.Event;
using Pipeline.Nodes;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Protocol.Wire;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>What a node says, whoever in it says it: every entry named, with node, run, generation, step and rank, as text or as JSON.</summary>
public sealed class NodeLogTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    [Fact]
    public async Task Whatever_is_logged_in_a_nodes_actor_system_has_a_name_and_says_where_in_the_run_it_happened()
    {
        var lines = (await SaidAsync(LogFormat.Json, (log, words) =>
        {
            log.Say(LogLevel.WarningLevel, new LogSaying("copy-not-written", "The copy could not be written.", Rank: 2, Step: 40));
            words.At("first");
            words.Hears(3);
            log.Say(LogLevel.ErrorLevel, new LogSaying("run-not-opened", "It cannot be opened."), new IOException("The disk is gone."));
            words.At("");
            log.Warning("Akka says {0}.", "something");
            log.Info("Nobody asked.");
        })).Select(line => JsonNode.Parse(line)!.AsObject()).ToArray();
        Assert.Equal(["copy-not-written", "run-not-opened", "akka"], lines.Select(line => line["event"]!.GetValue<string>()));
        Assert.Equal(["warning", "error", "warning"], lines.Select(line => line["level"]!.GetValue<string>()));
        Assert.All(lines, line => Assert.Equal("node-1", line["node"]!.GetValue<string>()));
        Assert.Equal((2, 40L), (lines[0]["rank"]!.GetValue<int>(), lines[0]["step"]!.GetValue<long>()));
        Assert.Equal("The copy could not be written.", lines[0]["message"]!.GetValue<string>());
        Assert.Equal("It cannot be opened: The disk is gone.", lines[1]["message"]!.GetValue<string>());
        Assert.Equal("Akka says something.", lines[2]["message"]!.GetValue<string>());
    }

    [Fact]
    public void An_entry_says_the_run_that_the_node_is_at_and_nothing_where_it_is_at_none()
    {
        using StringWriter output = new();
        using (NodeLog log = new(output, LogFormat.Text, "node-1", TimeProvider.System))
        {
            log.Write(Microsoft.Extensions.Logging.LogLevel.Information, "here", "node-up", "It is up.");
            log.At("first");
            log.Hears(3);
            log.Write(Microsoft.Extensions.Logging.LogLevel.Warning, "here", "link-ended", "It ended\u001b[2J\nfor good.", rank: 1);
            log.At("");
            log.Write(Microsoft.Extensions.Logging.LogLevel.Information, "here", "node-up", "It is idle.");
        }

        var lines = output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(3, lines.Length);
        Assert.EndsWith(" information node-up node=node-1  It is up.", lines[0], StringComparison.Ordinal);
        Assert.Contains(" warning     link-ended node=node-1 run=first generation=3 rank=1  It ended", lines[1], StringComparison.Ordinal);
        Assert.EndsWith(" node=node-1  It is idle.", lines[2], StringComparison.Ordinal);
        Assert.All(lines, line => Assert.DoesNotContain(line, char.IsControl));
    }

    private static async Task<string[]> SaidAsync(LogFormat format, Action<ILoggingAdapter, NodeLog> say)
    {
        using Lines output = new();
        using NodeLog words = new(output, format, "node-1", TimeProvider.System);
        var config = ConfigurationFactory.ParseString("akka { loglevel = WARNING, stdout-loglevel = OFF, log-dead-letters = off, loggers = [\"Pipeline.Nodes.NodeLogActor, Pipeline.Nodes\"] }");
        var system = ActorSystem.Create("logged", WireSetup.For(config).And(new NodeLogSetup(words)));
        say(Logging.GetLogger(system, "part"), words);
        // Entries are written in the order in which they were said, by an actor of their own.
        Logging.GetLogger(system, "part").Error("the last");
        await output.Last.Task.WaitAsync(Patience);
        await system.Terminate();
        return [.. output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).TakeWhile(line => !line.Contains("the last", StringComparison.Ordinal))];
    }

    private sealed class Lines : StringWriter
    {
        internal TaskCompletionSource Last { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public override void WriteLine(string? value)
        {
            base.WriteLine(value);
            if (value?.Contains("the last", StringComparison.Ordinal) == true) Last.TrySetResult();
        }
    }
}
