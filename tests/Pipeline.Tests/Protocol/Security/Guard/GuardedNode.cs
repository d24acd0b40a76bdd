using System.Collections.Concurrent;
using Akka.Actor;
using Akka.Configuration;
using Akka.Event;
using Pipeline.Protocol.Security;

namespace Pipeline.Tests.Protocol.Security.Guard;

/// <summary>An actor system of a test with the guard around its remoting, and a target at <c>/user/target</c> that hands on what it gets.</summary>
internal sealed class GuardedNode : IAsyncDisposable
{
    private static readonly Config Quiet = ConfigurationFactory.ParseString("""
        akka {
          loglevel = WARNING
          stdout-loglevel = OFF
          loggers = ["Pipeline.Tests.Protocol.Security.Guard.GatheringLogger, Pipeline.Tests"]
          actor.provider = remote
          remote.log-remote-lifecycle-events = off
          remote.dot-netty.tcp { maximum-frame-size = 128000b, batching.enabled = off }
        }
        """);

    private readonly PeerCredentials? _credentials;
    private readonly BlockingCollection<object> _received = [];

    public GuardedNode(PeerCredentials? credentials = null, PeerRoles roles = PeerRoles.Stage, string? more = null, TimeProvider? time = null, params string[] trusted)
    {
        _credentials = credentials;
        Remoting = SecureRemoting.For(new("127.0.0.1", null, 0), credentials, roles, trusted, time ?? TimeProvider.System);
        var rest = more is null ? Quiet : ConfigurationFactory.ParseString(more).WithFallback(Quiet);
        System = ActorSystem.Create("pipeline", Remoting.Complete(rest));
        Address = ((ExtendedActorSystem)System).Provider.DefaultAddress;
        Target = System.ActorOf(Props.Create(() => new Receiver(_received)), "target");
    }

    public ActorSystem System { get; }

    public SecureRemoting Remoting { get; }

    public Address Address { get; }

    public IActorRef Target { get; }

    public string PathOf(string local) => Address + local;

    /// <summary>The next message that the target got.</summary>
    public object Receive() => _received.TryTake(out var message, TimeSpan.FromMinutes(2)) ? message : throw new TimeoutException("The target got nothing.");

    public bool HasReceivedNothing => _received.Count == 0;

    public async ValueTask DisposeAsync()
    {
        await System.Terminate();
        _credentials?.Dispose();
    }

    private sealed class Receiver : ReceiveActor
    {
        public Receiver(BlockingCollection<object> received) => ReceiveAny(received.Add);
    }
}

/// <summary>Keeps every line that a logger of Akka's own would print, of all systems of the test process, by system.</summary>
internal sealed class GatheringLogger : ReceiveActor
{
    private static readonly ConcurrentDictionary<ActorSystem, ConcurrentQueue<LogEvent>> Lines = new();

    public GatheringLogger()
    {
        var lines = Of(Context.System);
        Receive<InitializeLogger>(_ => Sender.Tell(new LoggerInitialized()));
        // Filters are the loggers' to apply.
        Receive<LogEvent>(line => Context.System.Settings.LogFilter.ShouldTryKeepMessage(line, out _), lines.Enqueue);
    }

    public static ConcurrentQueue<LogEvent> Of(ActorSystem system) => Lines.GetOrAdd(system, _ => new());
}
