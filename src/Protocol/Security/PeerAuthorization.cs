using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using Pipeline.Protocol.Wire;

namespace Pipeline.Protocol.Security;

/// <summary>
/// Which role may send which message of the protocol: a stage reports and computes, and only a coordinator commands. What stands in no
/// row may be sent by nobody; a test holds every message of the manifest table against these rows.
/// </summary>
public static class PeerAuthorization
{
    private const PeerRoles Nodes = PeerRoles.Coordinator | PeerRoles.Stage;

    private static readonly (Type Kind, PeerRoles Senders)[] Rows =
    [
        (typeof(StageProtocol.ICommand), PeerRoles.Coordinator),
        (typeof(StageProtocol.IEvent), PeerRoles.Stage),
        (typeof(NeighbourProtocol.INote), PeerRoles.Stage),
        (typeof(TensorFrame), PeerRoles.Stage),
        (typeof(TunnelProtocol.ITunnelMessage), PeerRoles.Stage),
        (typeof(CopyProtocol.ITransfer), PeerRoles.Stage),
        (typeof(NodeProtocol.INodeCommand), PeerRoles.Coordinator),
        (typeof(NodeProtocol.INodeEvent), Nodes),
        (typeof(MembershipProtocol.DescribeNode), Nodes),
        (typeof(MembershipProtocol.NodeDescribed), Nodes),
        (typeof(MembershipProtocol.AnnounceRun), PeerRoles.Coordinator),
        (typeof(MembershipProtocol.ForgetRun), PeerRoles.Coordinator),
        (typeof(MembershipProtocol.NotAdmitted), PeerRoles.Coordinator),
        (typeof(MembershipProtocol.ClusterStanding), Nodes),
        (typeof(MembershipProtocol.DescribeLinks), PeerRoles.Coordinator),
        (typeof(MembershipProtocol.LinksDescribed), Nodes),
        (typeof(ProfileProtocol.MeasureUnits), PeerRoles.Coordinator),
        (typeof(ProfileProtocol.UnitsMeasured), Nodes),
        (typeof(ProfileProtocol.ProfileStanding), PeerRoles.Coordinator),
        // An operator speaks to any node, which has authenticated it and passes its requests on to the one that leads.
        (typeof(OperatorProtocol.IRequest), PeerRoles.Operator | Nodes),
        (typeof(OperatorProtocol.AuditRefusal), Nodes),
        (typeof(OperatorProtocol.Answer), PeerRoles.Coordinator),
        (typeof(OperatorProtocol.CommandAnswered), PeerRoles.Coordinator),
        (typeof(OperatorProtocol.ClusterStatus), PeerRoles.Coordinator),
    ];

    /// <summary>The roles of which one suffices to send a message.</summary>
    public static PeerRoles SendersOf(Type message)
    {
        foreach (var (kind, senders) in Rows)
        {
            if (kind.IsAssignableFrom(message)) return senders;
        }

        return PeerRoles.None;
    }

    /// <summary>The same by a message's manifest; none where there is no such message.</summary>
    internal static PeerRoles SendersOf(string manifest) => WireManifests.Of(manifest) is { } entry ? SendersOf(entry.Type) : PeerRoles.None;
}
