using System.Net.Sockets;
using Akka.Actor;
using Akka.Cluster;
using Akka.Event;
using Akka.Remote;
using Pipeline.Protocol;
using static Pipeline.Protocol.MembershipProtocol;

namespace Pipeline.Nodes;

/// <summary>
/// Notices at once that a process has ended, rather than by its silence: when the connection to a member breaks, it tries the member's control
/// port. Where the machine refuses the connection, nobody is there any more, and the member is downed; a member that is cut off or frozen refuses nothing and is
/// left to the failure detector.
/// </summary>
public sealed class ConnectionWatch : ReceiveActor, IWithTimers
{
    private static readonly TimeSpan ProbePatience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ProbeAgain = TimeSpan.FromMilliseconds(150);

    /// <summary>The kernel closes a dying process's connections one after the other: its listener may outlive the first for a moment.</summary>
    private const int ProbeCount = 8;

    private readonly Cluster _cluster = Cluster.Get(Context.System);
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly Dictionary<Address, string> _controlAddresses = [];
    private readonly HashSet<Address> _probed = [];

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public ConnectionWatch()
    {
        Receive<ClusterEvent.CurrentClusterState>(state => { foreach (var member in state.Members) Describe(member); });
        Receive<ClusterEvent.MemberUp>(up => Describe(up.Member));
        Receive<ClusterEvent.MemberRemoved>(removed => Forget(removed.Member.Address));
        Receive<ClusterEvent.IMemberEvent>(_ => { });
        Receive<NodeDescribed>(node => _controlAddresses[Address.Parse(node.Info.Id.Address)] = node.ControlAddress);
        Receive<AssociationEvent>(broken => { if (broken is DisassociatedEvent or AssociationErrorEvent) OnBroken(broken.RemoteAddress); });
        Receive<ProbeTick>(tick => Probe(tick.Member, tick.Left));
        Receive<Probed>(OnProbed);
    }

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <summary>How to make one; one a node.</summary>
    public static Props Props() => Akka.Actor.Props.Create(() => new ConnectionWatch());

    /// <inheritdoc/>
    protected override void PreStart()
    {
        _cluster.Subscribe(Self, ClusterEvent.SubscriptionInitialStateMode.InitialStateAsSnapshot, typeof(ClusterEvent.IMemberEvent));
        Context.System.EventStream.Subscribe(Self, typeof(AssociationEvent));
    }

    /// <inheritdoc/>
    protected override void PostStop()
    {
        _cluster.Unsubscribe(Self);
        Context.System.EventStream.Unsubscribe(Self);
    }

    private void Describe(Member member)
    {
        if (member.Address != _cluster.SelfAddress) Context.ActorSelection(new RootActorPath(member.Address) / "user" / MemberActor.Name).Tell(new DescribeNode());
    }

    private void Forget(Address member)
    {
        _controlAddresses.Remove(member);
        _probed.Remove(member);
    }

    private void OnBroken(Address member)
    {
        if (_controlAddresses.ContainsKey(member) && _probed.Add(member)) Probe(member, ProbeCount);
    }

    private void Probe(Address member, int left)
    {
        if (_controlAddresses.TryGetValue(member, out var address)) _ = RefusesAsync(address).PipeTo(Self, success: refuses => new Probed(member, refuses, left - 1));
    }

    private void OnProbed(Probed probed)
    {
        if (probed.Refuses)
        {
            _log.Say(LogLevel.WarningLevel, new LogSaying(
                "process-gone", $"Nobody listens at {_controlAddresses.GetValueOrDefault(probed.Member)} any more: the process of {probed.Member} has ended and is removed."));
            _cluster.Down(probed.Member);
            Context.System.EventStream.Publish(new ProcessGone(probed.Member));
        }
        else if (probed.Left > 0)
        {
            Timers.StartSingleTimer(probed.Member, new ProbeTick(probed.Member, probed.Left), ProbeAgain);
        }
        else
        {
            _probed.Remove(probed.Member);
        }
    }

    private static async Task<bool> RefusesAsync(string address)
    {
        if (!ControlClient.TrySplit(address, out var host, out var port)) return false;
        using CancellationTokenSource limit = new(ProbePatience);
        using TcpClient client = new();
        try
        {
            await client.ConnectAsync(host, port, limit.Token).ConfigureAwait(false);
            return false;
        }
        catch (SocketException fault)
        {
            return fault.SocketErrorCode == SocketError.ConnectionRefused;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private sealed record ProbeTick(Address Member, int Left) : INoSerializationVerificationNeeded;

    private sealed record Probed(Address Member, bool Refuses, int Left) : INoSerializationVerificationNeeded;
}

/// <summary>The process of a member has ended for certain: its machine says so.</summary>
internal sealed record ProcessGone(Address Member) : INoSerializationVerificationNeeded;
