using Akka.Actor;
using static Pipeline.Protocol.MembershipProtocol;
using static Pipeline.Protocol.OperatorProtocol;

namespace Pipeline.Nodes;

/// <summary>
/// A node as a member of its cluster: says who it is, and remembers the run that the cluster is at, so that whoever leads next can learn of
/// it from any node that is left.
/// </summary>
public sealed class MemberActor : ReceiveActor
{
    /// <summary>Its name below the user guardian.</summary>
    public const string Name = "member";

    private NodeDescribed _self;

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public MemberActor(NodeDescribed self)
    {
        _self = self;
        Receive<DescribeNode>(_ => Sender.Tell(_self));
        Receive<AnnounceRun>(announced => Remember(announced.Run));
        Receive<ForgetRun>(forget => { if (_self.Run?.Start == forget.Start) Remember(null); });
    }

    /// <summary>How to make one.</summary>
    public static Props Props(NodeDescribed self) => Akka.Actor.Props.Create(() => new MemberActor(self));

    private void Remember(SubmitRun? run) => _self = _self with { Run = run };
}
