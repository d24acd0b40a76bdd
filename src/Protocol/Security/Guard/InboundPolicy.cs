using System.Collections.Frozen;
using System.Text;
using Pipeline.Protocol.Wire;

namespace Pipeline.Protocol.Security.Guard;

/// <summary>
/// What a peer may send over Akka.Remote, judged on the bytes, before anything is built of them: a closed list of serializers and, within
/// each, of manifests. Messages of our protocol also need the role that <see cref="PeerAuthorization"/> asks for. Pure.
/// </summary>
/// <remarks>
/// Akka's own untrusted mode comes after deserialisation and lets system messages through; this comes before and does not. Refused
/// among others: JSON (serializer 1), creation of actors (3), configurations, routers, scopes, poison pills, kills and failures with
/// exceptions (16), Terminate, Suspend, Supervise, Failed and the like (22), publish-subscribe, cluster client, reliable delivery.
/// </remarks>
/// <param name="trustedSelections">Paths that a selection may name, such as <c>/user/coordinator</c>, beside the cluster's own.</param>
public sealed class InboundPolicy(IEnumerable<string> trustedSelections)
{
    private const int Null = 0;
    private const int Membership = 5;
    private const int Selection = 6;
    private const int Singleton = 14;
    private const int Miscellaneous = 16;
    private const int Primitive = 17;
    private const int System = 22;

    private static readonly FrozenSet<string> MembershipManifests = new[]
    {
        "HB", "HBR", Cluster("GossipStatus"), Cluster("GossipEnvelope"), Cluster("InternalClusterAction+Join"), Cluster("InternalClusterAction+Welcome"),
        Cluster("InternalClusterAction+InitJoin"), Cluster("InternalClusterAction+InitJoinAck"), Cluster("InternalClusterAction+InitJoinNack"),
        Cluster("InternalClusterAction+ExitingConfirmed"),
    }.ToFrozenSet(StringComparer.Ordinal);

    /// <summary>Orders to members: of these, a stage has none to give.</summary>
    private static readonly FrozenSet<string> MembershipOrders = new[] { Cluster("ClusterUserAction+Leave"), Cluster("ClusterUserAction+Down") }.ToFrozenSet(StringComparer.Ordinal);

    /// <summary>Identify and its answer, a reference, and the heartbeats of remote watching.</summary>
    private static readonly FrozenSet<string> MiscellaneousManifests = new[] { "ID", "AID", "AR", "RWHB", "RWHR" }.ToFrozenSet(StringComparer.Ordinal);

    private static readonly FrozenSet<string> SystemManifests = new[]
    {
        "Akka.Dispatch.SysMsg.Watch, Akka", "Akka.Dispatch.SysMsg.Unwatch, Akka", "Akka.Dispatch.SysMsg.DeathWatchNotification, Akka",
    }.ToFrozenSet(StringComparer.Ordinal);

    private readonly FrozenSet<string> _selections =
        trustedSelections.Concat(ClusterSelections).ToFrozenSet(StringComparer.Ordinal);

    /// <summary>Paths that the cluster itself selects.</summary>
    public static IReadOnlyList<string> ClusterSelections { get; } = ["/system/cluster/core/daemon", "/system/cluster/heartbeatReceiver", "/system/remote-watcher"];

    /// <summary>Why a frame is refused, as a clause; null if it may pass.</summary>
    /// <param name="frame">One frame of Akka.Remote.</param>
    /// <param name="peer">Who sent it.</param>
    public string? FaultOf(ReadOnlySpan<byte> frame, PeerIdentity peer)
    {
        try
        {
            var pdu = InboundPdu.Of(frame);
            if (pdu.ClaimedHost is { } host && !peer.Covers(host)) return $"it claims to be {SafeText.Of(host)}, its certificate is for {SafeText.Of(string.Join(", ", peer.Hosts))}";
            if (pdu.HasObject) Judge(pdu.Carried, peer, isSelected: false);
            return null;
        }
        catch (PduException refusal)
        {
            return refusal.Message;
        }
    }

    private void Judge(CarriedObject carried, PeerIdentity peer, bool isSelected)
    {
        switch (carried.Serializer)
        {
            case WireSerializer.FixedIdentifier:
                RequireRole(carried.Manifest, PeerAuthorization.SendersOf(carried.Manifest), peer);
                break;
            case Membership:
                RequireRole(carried.Manifest, MembershipOrders.Contains(carried.Manifest) ? PeerRoles.Coordinator : AmongNodes(MembershipManifests, carried), peer);
                break;
            case Singleton:
                RequireRole(carried.Manifest, PeerRoles.Coordinator, peer);
                break;
            case Selection when !isSelected:
                JudgeSelection(carried.Content, peer);
                break;
            case Miscellaneous:
                RequireRole(carried.Manifest, AmongNodes(MiscellaneousManifests, carried), peer);
                if (carried.Manifest is "ID" or "AID") JudgeCorrelation(carried.Content);
                break;
            case System when !isSelected:
                RequireRole(carried.Manifest, AmongNodes(SystemManifests, carried), peer);
                break;
            default:
                throw new PduException($"an object of serializer {carried.Serializer}{(carried.Manifest.Length > 0 ? $" ({SafeText.Of(carried.Manifest, 80)})" : "")}, which nobody may send");
        }
    }

    /// <summary>SelectionEnvelope: payload = 1, pattern = 2 (repeated); Selection: type = 1, matcher = 2.</summary>
    private void JudgeSelection(ReadOnlySpan<byte> envelope, PeerIdentity peer)
    {
        var path = new StringBuilder();
        ReadOnlySpan<byte> payload = default;
        var fields = new ProtobufFields(envelope);
        while (fields.Next(repeatable: [2]))
        {
            if (fields.Field == 1) payload = fields.RequireBytes();
            else if (fields.Field == 2) path.Append('/').Append(ChildName(fields.RequireBytes()));
        }

        if (!_selections.Contains(path.ToString())) throw new PduException($"a selection of {SafeText.Of(path.ToString(), 80)}, a path that nobody may select");
        Judge(CarriedObject.Of(payload), peer, isSelected: true);
    }

    /// <summary>A name (type 2); a parent (1) or a pattern (3) could reach what the list of paths does not hold.</summary>
    private static string ChildName(ReadOnlySpan<byte> element)
    {
        var (type, name) = (0, "");
        var fields = new ProtobufFields(element);
        while (fields.Next())
        {
            if (fields.Field == 1) type = fields.RequireInt32();
            else if (fields.Field == 2) name = Encoding.UTF8.GetString(fields.RequireBytes());
        }

        return type == 2 ? name : throw new PduException("a selection by pattern");
    }

    /// <summary>Identify and ActorIdentity carry an object of the asker's choice in field 1: nothing, or a number or text.</summary>
    private static void JudgeCorrelation(ReadOnlySpan<byte> message)
    {
        var fields = new ProtobufFields(message);
        while (fields.Next())
        {
            if (fields.Field != 1) continue;
            var inner = CarriedObject.Of(fields.RequireBytes());
            if (inner.Serializer is not (Null or Primitive)) throw new PduException($"a question that carries an object of serializer {inner.Serializer}");
        }
    }

    private static PeerRoles AmongNodes(FrozenSet<string> manifests, CarriedObject carried) =>
        manifests.Contains(carried.Manifest) ? PeerRoles.Coordinator | PeerRoles.Stage : PeerRoles.None;

    private static void RequireRole(string manifest, PeerRoles senders, PeerIdentity peer)
    {
        if (senders == PeerRoles.None) throw new PduException($"a message with the manifest {SafeText.Of(manifest, 80)}, which nobody may send");
        if ((peer.Roles & senders) == PeerRoles.None) throw new PduException($"a message with the manifest {SafeText.Of(manifest, 80)}, which only a {PeerRoleNames.Phrase(senders)} may send");
    }

    private static string Cluster(string type) => $"Akka.Cluster.{type}, Akka.Cluster";
}
