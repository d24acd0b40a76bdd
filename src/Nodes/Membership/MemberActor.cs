using Akka.Actor;
using Pipeline.Operator;
using Pipeline.Protocol;
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

    private readonly Action<string>? _isAt;
    private NodeDescribed _self;

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public MemberActor(NodeDescribed self, Action<string> refused, Func<IReadOnlyList<LinkLine>> links, Action<string>? isAt)
    {
        (_self, _isAt) = (self, isAt);
        Receive<DescribeLinks>(_ => Sender.Tell(new LinksDescribed(links(), ProcessLoad.Of(Environment.ProcessId))));
        Receive<NotAdmitted>(answer => refused(answer.Reason));
        Receive<DescribeNode>(_ => Sender.Tell(_self));
        Receive<AnnounceRun>(announced => Remember(announced.Run));
        Receive<ForgetRun>(forget => { if (_self.Run?.Start == forget.Start) Remember(null); });
    }

    /// <summary>How to make one.</summary>
    /// <param name="self">What it says of the node.</param>
    /// <param name="refused">Told why, when the node may not take part.</param>
    /// <param name="links">The links by which the node sends, at the moment of the call.</param>
    /// <param name="isAt">Told the directory of the run that the cluster is at; nothing for none.</param>
    public static Props Props(NodeDescribed self, Action<string> refused, Func<IReadOnlyList<LinkLine>> links, Action<string>? isAt = null) =>
        Akka.Actor.Props.Create(() => new MemberActor(self, refused, links, isAt));

    private void Remember(SubmitRun? run)
    {
        _self = _self with { Run = run };
        _isAt?.Invoke(run?.Directory ?? "");
    }
}
