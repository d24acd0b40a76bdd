using Akka.Actor;
using Akka.Cluster;
using Akka.Event;
using Pipeline.Protocol;
using static Pipeline.Protocol.MembershipProtocol;

namespace Pipeline.Nodes;

/// <summary>
/// Finds a second cluster where there should be one: the first node of a cluster tells those seed nodes that are no members how the cluster stands, again and again, and
/// whoever of them is a member of another one answers. <see cref="FoundedApart"/> judges. Which of both is meant nobody can know where both are used: then it is said only.
/// </summary>
public sealed class SeedWatch : ReceiveActor, IWithTimers
{
    /// <summary>Its name below the user guardian.</summary>
    public const string Name = "seeds";

    private const int MostTold = 64;

    /// <summary>Mistakes are made while nodes are started: only after so many looks they become rarer.</summary>
    private const int OftenLooks = 20;

    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(1);
    private readonly NodeSettings _settings;
    private readonly Func<bool> _isAtRun;
    private readonly Action<NodeEnd> _end;
    private readonly TimeProvider _time;
    private readonly Cluster _cluster = Cluster.Get(Context.System);
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly HashSet<string> _told = new(StringComparer.Ordinal);
    private TimeSpan _pause = FirstPause;
    private int _looks;
    private DateTimeOffset? _upSince;

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public SeedWatch(NodeSettings settings, Func<bool> isAtRun, Action<NodeEnd> end, TimeProvider time)
    {
        (_settings, _isAtRun, _end, _time) = (settings, isAtRun, end, time);
        Receive<MemberTick>(_ => _upSince = _time.GetUtcNow());
        Receive<LookTick>(_ => Look());
        Receive<ClusterStanding>(OnStanding);
    }

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <summary>How to make one; one a node.</summary>
    /// <param name="settings">The node.</param>
    /// <param name="isAtRun">Whether the cluster is at a run, as far as the node knows.</param>
    /// <param name="end">Told how the node is to end, where its cluster is given up.</param>
    /// <param name="time">Clock of the cluster's age.</param>
    public static Props Props(NodeSettings settings, Func<bool> isAtRun, Action<NodeEnd> end, TimeProvider time) =>
        Akka.Actor.Props.Create(() => new SeedWatch(settings, isAtRun, end, time));

    /// <inheritdoc/>
    protected override void PreStart()
    {
        var self = Self;
        _cluster.RegisterOnMemberUp(() => self.Tell(new MemberTick()));
        Timers.StartSingleTimer("look", new LookTick(), _pause);
    }

    private void Look()
    {
        if (Standing(isAnswer: false) is { } standing && _cluster.State.Leader == _cluster.SelfAddress)
        {
            foreach (var seed in Strangers()) Context.ActorSelection(new RootActorPath(seed) / "user" / Name).Tell(standing);
            if (++_looks > OftenLooks) _pause = _pause * 2 < LongestPause ? _pause * 2 : LongestPause;
        }

        Timers.StartSingleTimer("look", new LookTick(), _pause);
    }

    private void OnStanding(ClusterStanding other)
    {
        if (other is not { Name: not null, Address: not null, Members: not null, SeedNodes: not null }) return;
        if (Standing(isAnswer: true) is not { } own || !FoundedApart.Are(own, other)) return;
        if (!other.IsAnswer) Sender.Tell(own);
        var sentence = FoundedApart.Sentence(own, other);
        if (FoundedApart.Yields(own, other)) _end(NodeEnd.FoundedApart(sentence, FoundedApart.IsByList(own, other)));
        else if (_told.Count < MostTold && _told.Add(other.Address)) _log.Say(LogLevel.WarningLevel, new LogSaying("clusters-apart", sentence));
    }

    /// <summary>How the own cluster stands; null while the node is no member of any.</summary>
    private ClusterStanding? Standing(bool isAnswer)
    {
        if (_upSince is not { } since || _cluster.IsTerminated || _cluster.SelfMember.Status != MemberStatus.Up) return null;
        return new ClusterStanding(
            _settings.Name, _cluster.SelfAddress.ToString(), [.. _cluster.State.Members.Select(member => member.Address.ToString())], _settings.SeedNodes, _isAtRun(), since.ToUnixTimeMilliseconds(), isAnswer);
    }

    private IEnumerable<Address> Strangers()
    {
        var members = _cluster.State.Members.Select(member => member.Address).ToHashSet();
        foreach (var seed in _settings.SeedNodes)
        {
            if (!ControlClient.TrySplit(seed, out var host, out var port)) continue;
            Address address = new(_cluster.SelfAddress.Protocol, _cluster.SelfAddress.System, host, port);
            if (!members.Contains(address)) yield return address;
        }
    }

    private sealed record MemberTick : INoSerializationVerificationNeeded;

    private sealed record LookTick : INoSerializationVerificationNeeded;
}
