using Akka.Actor;
using Akka.Serialization;
using Pipeline.Stages;
using static Pipeline.Protocol.HostingProtocol;
using static Pipeline.Protocol.MembershipProtocol;

namespace Pipeline.Nodes;

/// <summary>A node as its cluster sees it: says who it is, and makes the actors of the ranks that it is given.</summary>
public sealed class NodeActor : ReceiveActor
{
    /// <summary>Its name below the user guardian.</summary>
    public const string Name = "node";

    private readonly NodeDescribed _self;
    private readonly IRunSource _source;
    private readonly Dictionary<int, IActorRef> _stages = [];
    private int _made;

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public NodeActor(NodeDescribed self, IRunSource source)
    {
        (_self, _source) = (self, source);
        Receive<DescribeNode>(_ => Sender.Tell(_self));
        Receive<HostStage>(OnHostStage);
        Receive<ReleaseRun>(_ => OnRelease());
    }

    /// <summary>How to make one.</summary>
    /// <param name="self">What it says of itself.</param>
    /// <param name="source">What its stages compute with.</param>
    public static Props Props(NodeDescribed self, IRunSource source) => Akka.Actor.Props.Create(() => new NodeActor(self, source));

    /// <summary>A stage that failed has lost its state.</summary>
    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(_ => Directive.Stop);

    private void OnHostStage(HostStage host)
    {
        if (_stages.Remove(host.Rank, out var former)) Context.Stop(former);
        // A name is free only once its former bearer has ended.
        var stage = Context.ActorOf(StageActor.Props(_source.Workloads), FormattableString.Invariant($"stage-{host.Rank}-{++_made}"));
        _stages[host.Rank] = stage;
        Sender.Tell(new StageHosted(host.Run, host.Rank, Serialization.SerializedActorPath(stage)));
    }

    private void OnRelease()
    {
        foreach (var stage in _stages.Values) Context.Stop(stage);
        _stages.Clear();
    }
}
