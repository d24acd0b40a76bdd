using System.Net;
using System.Net.Sockets;
using Akka.Actor;
using Akka.Cluster;
using Akka.Cluster.Tools.Singleton;
using Akka.Remote;
using Microsoft.Extensions.Logging;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Protocol.Links;
using Pipeline.Protocol.Security;
using Pipeline.Protocol.Security.Guard;
using Pipeline.Runs;
using Pipeline.Stages;
using static Pipeline.Protocol.MembershipProtocol;

namespace Pipeline.Nodes;

/// <summary>
/// The life of a node's process: joins, hosts, maybe leads, takes commands, and leaves. Its end has a reason that becomes one line and an
/// exit code.
/// </summary>
public sealed class NodeProcess
{
    private const string HostName = "host";
    private const string CannotListen = " cannot listen on ";
    private static readonly string[] TrustedSelections = ["/user/" + MemberActor.Name, "/user/" + SeedWatch.Name, "/user/" + StageHostActor.Name, "/user/" + HostName, $"/user/{HostName}/singleton"];
    private static readonly TimeSpan LeavePatience = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan BeatEvery = TimeSpan.FromMilliseconds(500);
    private readonly NodeSettings _settings;
    private readonly IRunSource _source;
    private readonly TimeProvider _time;
    private readonly NodeLog _log;
    private readonly TaskCompletionSource<NodeEnd> _end = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly JoinRefusals _refusals;
    private ControlServer? _control;
    private LinkHub? _hub;
    private HostRequests? _requests;
    private NodeId _id;
    private PeerCredentials? _credentials;
    private NodeDescribed? _self;
    private volatile bool _isUp;
    private volatile bool _isAtRun;

    private NodeProcess(NodeSettings settings, IRunSource source, TimeProvider time, NodeLog log)
    {
        (_settings, _source, _time, _log) = (settings, source, time, log);
        _refusals = new JoinRefusals(settings.SeedNodes, FormattableString.Invariant($"{settings.Host}:{settings.Port}"));
    }

    /// <summary>Whether a node that has ended says with this line that another program listens on its port.</summary>
    internal static bool IsPortTaken(string lastLine) => lastLine.Contains(CannotListen, StringComparison.Ordinal);

    /// <summary>Runs a node to its end.</summary>
    /// <param name="settings">Who it is and whom it joins.</param>
    /// <param name="source">What it computes with.</param>
    /// <param name="time">Clock of the endpoint's file.</param>
    /// <param name="output">Where its log goes.</param>
    /// <param name="orphaned">Ends when whoever started it is gone.</param>
    /// <param name="drain">Asks it to leave in good order.</param>
    public static async Task<NodeEnd> RunAsync(NodeSettings settings, IRunSource source, TimeProvider time, TextWriter output, Task orphaned, CancellationToken drain)
    {
        using NodeLog log = new(output, settings.LogFormat, settings.Name, time);
        return await new NodeProcess(settings, source, time, log).RunAsync(orphaned, drain).ConfigureAwait(false);
    }

    private async Task<NodeEnd> RunAsync(Task orphaned, CancellationToken drain)
    {
        var system = Start();
        var cluster = Cluster.Get(system);
        await using (drain.Register(() => _end.TrySetResult(NodeEnd.Drained)).ConfigureAwait(false))
        {
            _ = orphaned.ContinueWith(_ => _end.TrySetResult(NodeEnd.Orphaned), TaskScheduler.Default);
            _ = system.WhenTerminated.ContinueWith(_ => _end.TrySetResult(NodeEnd.Of(CoordinatedShutdown.Get(system).ShutdownReason)), TaskScheduler.Default);
            cluster.RegisterOnMemberUp(() => OnUp(cluster));
            var end = await _end.Task.ConfigureAwait(false);
            // Akka gives up joining, or ends the system at once after a handshake that failed, whichever comes first.
            if (end == NodeEnd.Unjoined || (!_isUp && !end.IsOrderly && !end.IsRefusal)) end = _refusals.End ?? end;
            await LeaveAsync(system, end).ConfigureAwait(false);
            return end;
        }
    }

    private ActorSystem Start()
    {
        ActorSystem system;
        _credentials = _settings.Security?.Load(_time);
        var remoting = SecureRemoting.For(new(_settings.Host, _settings.Bind, _settings.Port), _credentials, Roles(), TrustedSelections, _time);
        Say("node-starts", remoting.Notice);
        remoting.Refused = OnRefused;
        try
        {
            system = ActorSystem.Create(_settings.Cluster, remoting.Complete(ClusterHocon.For(_settings, remoting.Scheme).WithFallback(ClusterSingleton.DefaultConfig())).And(new NodeLogSetup(_log)));
        }
        catch (Exception fault) when (SocketFault(fault) is { } taken)
        {
            throw new RunException($"The node {_settings.Name}{CannotListen}{_settings.Host}:{_settings.Port}: {taken.Message.TrimEnd('.')}. Set cluster.host and cluster.port to an address of this machine that is free.", fault);
        }

        system.EventStream.Subscribe(system.ActorOf(Props.Create(() => new QuarantineWatch(_end))), typeof(ThisActorSystemQuarantinedEvent));
        if (_settings.Roles.Contains(NodeRole.Coordinator)) system.ActorOf(
            ClusterSingletonManager.Props(
                RunHostActor.Props(_source, () => _self!, AnnounceRun, (run, desk) => _source.AttendAsync(run, desk, _control!.Token), () => _end.TrySetResult(NodeEnd.Fenced)),
                PoisonPill.Instance,
                ClusterSingletonManagerSettings.Create(system).WithRole(NodeRole.Coordinator)),
            HostName);
        var host = system.ActorOf(
            ClusterSingletonProxy.Props("/user/" + HostName, ClusterSingletonProxySettings.Create(system).WithRole(NodeRole.Coordinator)),
            HostName + "-proxy");
        _requests = new HostRequests(host);
        var listen = IPAddress.TryParse(_settings.Bind, out var bind) ? bind : Dns.GetHostAddresses(_settings.Host)[0];
        _control = ControlServer.Start(
            new IPEndPoint(listen, _settings.ControlPort), TokenFile.ReadOrCreate(_settings.TokenPath), _requests.AnswerAsync, _credentials, _settings.Host, _requests.Refused);
        Host(system, _control.Address);
        return system;
    }

    private void Host(ActorSystem system, string controlAddress)
    {
        var cluster = Cluster.Get(system);
        var address = cluster.SelfAddress.ToString();
        _hub = NodeLinks.Start(_settings, system, _credentials, Roles(), _log, _time);
        NodeInfo info = new(
            new NodeId(address, cluster.SelfUniqueAddress.Uid), $"{address}/user/{StageHostActor.Name}", _settings.Roles, _settings.Device, Environment.ProcessorCount,
            GC.GetGCMemoryInfo().TotalAvailableMemoryBytes, _settings.Speed, Environment.MachineName, _hub is null ? "" : LinkAddressText.Of(_hub.Address));
        _id = info.Id;
        _self = new NodeDescribed(
            _settings.Name, Environment.ProcessId, controlAddress, info, null, ThisPlatform.Fingerprint(_settings.TensorLibrary), [ClusterHocon.SplitRule(_settings), .. NodeLinks.SharedToken(_settings), .. _settings.Shared]);
        system.ActorOf(StrayTensors.Props());
        system.ActorOf(StageHostActor.Props(info, _source.Workloads, _ => _end.TrySetResult(NodeEnd.Fenced), BeatEvery, _hub, _settings.LinkChoice, generation => _log.Hears(generation.Number)), StageHostActor.Name);
        system.ActorOf(MemberActor.Props(_self, reason => _end.TrySetResult(NodeEnd.NotAdmitted(reason)), () => NodeLinks.Lines(_settings.Name, _hub), IsAt, _source.MeasureAsync), MemberActor.Name);
        // Akka ends the system of whoever dials a node that shows a wrong certificate: with TLS nobody dials who need not be one of them.
        if (_credentials is null) system.ActorOf(SeedWatch.Props(_settings, () => _isAtRun, end => _end.TrySetResult(end), _time), SeedWatch.Name);
        system.ActorOf(ConnectionWatch.Props(), "connections");
    }

    /// <summary>Called with the directory of the run that the cluster is at; with nothing for none.</summary>
    private void IsAt(string run)
    {
        _isAtRun = run.Length > 0;
        _log.At(Path.GetFileName(run));
    }

    private PeerRoles Roles() => _settings.Roles.Aggregate(PeerRoles.None, (roles, word) => roles | PeerRoleNames.Role(word));

    /// <summary>Before it has joined: certificates that will not become right by waiting.</summary>
    private void OnRefused(DialRefusal refusal)
    {
        if (_refusals.Enter(refusal) && !_isUp && _refusals.End is { } end) _end.TrySetResult(end);
    }

    private void OnUp(Cluster cluster)
    {
        _isUp = true;
        if (_settings.EndpointPath is { } path) EndpointAnnouncement.Write(path, _control!, _time);
        Say("node-up", $"Node {_settings.Name} is up at {cluster.SelfAddress}, takes commands at {_control!.Address}.");
    }

    /// <summary>Called by the actor that leads a run, once it does so here.</summary>
    private void AnnounceRun(string directory, Uri? dashboard)
    {
        if (dashboard is not null) Say("page-opened", $"The web page of {directory} is at {dashboard}.");
        EndpointAnnouncement.Write(new RunFiles(directory).Endpoint, _control!, _time, dashboard);
    }

    private async Task LeaveAsync(ActorSystem system, NodeEnd end)
    {
        // Who does not leave in good order has nothing to tell the others: the process ends, and its connections with it.
        if (end.Leaves)
        {
            await _requests!.VacateAsync(_id).ConfigureAwait(false);
            await Task.WhenAny(CoordinatedShutdown.Get(system).Run(CoordinatedShutdown.ClusterLeavingReason.Instance), Task.Delay(LeavePatience)).ConfigureAwait(false);
        }

        _hub?.Dispose();
        // Last: a control port that refuses would tell the others that the process has ended.
        if (_settings.EndpointPath is { } path) EndpointAnnouncement.Remove(path);
        if (_control is not null) await _control.DisposeAsync().ConfigureAwait(false);
    }

    private void Say(string name, string sentence) => _log.Write(LogLevel.Information, typeof(NodeProcess).FullName!, name, sentence);

    private static SocketException? SocketFault(Exception? fault) => fault switch
    {
        null => null,
        SocketException socket => socket,
        AggregateException many => many.InnerExceptions.Select(SocketFault).FirstOrDefault(inner => inner is not null),
        _ => SocketFault(fault.InnerException),
    };

    /// <summary>Another node refuses to hear this one again: whatever it holds has been given away.</summary>
    private sealed class QuarantineWatch : ReceiveActor
    {
        public QuarantineWatch(TaskCompletionSource<NodeEnd> end) => Receive<ThisActorSystemQuarantinedEvent>(_ => end.TrySetResult(NodeEnd.Quarantined));
    }
}
