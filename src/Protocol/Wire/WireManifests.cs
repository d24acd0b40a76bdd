using System.Collections.Frozen;
using MessagePack;
using Pipeline.Protocol.Frames;
using static Pipeline.Protocol.CopyProtocol;
using static Pipeline.Protocol.Links.TunnelProtocol;
using static Pipeline.Protocol.NeighbourProtocol;
using static Pipeline.Protocol.NodeProtocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Protocol.Wire;

/// <summary>The one table of what may cross processes: short manifests, never reused, and how each is written and read.</summary>
internal static class WireManifests
{
    private static readonly Entry[] Table =
    [
        Control<AssignStage>("as"),
        Control<GrantSteps>("gs"),
        Control<Regenerate>("rg"),
        Control<EndAfterStep>("ea"),
        Control<HoldSteps>("hd"),
        Control<StepsHeld>("hh"),
        // "eh" was EvaluateHeldOut: ranks meet evaluations by themselves.
        Control<SaveCheckpoint>("sc"),
        Control<StopStage>("st"),
        Control<StageAssigned>("sa"),
        Control<StageReady>("rd"),
        Control<CopyStored>("cp"),
        Control<StepCompleted>("cs"),
        Control<HeldOutEvaluated>("he"),
        Control<CheckpointPartWritten>("cw"),
        Control<CheckpointPartFailed>("cf"),
        Control<StageFailed>("sf"),
        Control<StageStopped>("ss"),
        Control<FlightProtocol.ReportFlight>("rf"),
        Control<FlightProtocol.FlightReported>("fr"),
        Control<SquaredNorms>("sn"),
        Control<StepTotals>("tt"),
        Control<OperatorProtocol.SubmitRun>("osu"),
        Control<OperatorProtocol.EndRun>("oen"),
        Control<OperatorProtocol.RebalanceRun>("orb"),
        Control<OperatorProtocol.ReportDead>("ord"),
        Control<OperatorProtocol.Vacate>("ova"),
        Control<OperatorProtocol.AskStatus>("oas"),
        Control<OperatorProtocol.Answer>("oan"),
        Control<OperatorProtocol.RunCommand>("orc"),
        Control<OperatorProtocol.CompleteCommand>("occ"),
        Control<OperatorProtocol.AuditRefusal>("oar"),
        Control<OperatorProtocol.CommandAnswered>("oca"),
        Control<OperatorProtocol.ClusterStatus>("ocs"),
        Control<MembershipProtocol.DescribeNode>("mdn"),
        Control<MembershipProtocol.NodeDescribed>("mnd"),
        Control<MembershipProtocol.AnnounceRun>("man"),
        Control<MembershipProtocol.ForgetRun>("mfr"),
        Control<MembershipProtocol.NotAdmitted>("mna"),
        Control<MembershipProtocol.ClusterStanding>("mcs"),
        Control<MembershipProtocol.DescribeLinks>("mdl"),
        Control<MembershipProtocol.LinksDescribed>("mld"),
        Control<ProfileProtocol.ProfileNodes>("ppn"),
        Control<ProfileProtocol.ProfileStanding>("pps"),
        Control<ProfileProtocol.FetchProfile>("ppf"),
        Control<ProfileProtocol.MeasureUnits>("pmu"),
        Control<ProfileProtocol.UnitsMeasured>("pum"),
        // "ho" was HostStages, all ranks of a node in one message.
        Control<HostStage>("hs"),
        Control<ReportHosted>("rh"),
        Control<ReleaseStages>("rl"),
        Control<Fenced>("fe"),
        Control<NodeBeat>("nb"),
        Control<PeerUnreachable>("pu"),
        Control<HostedReport>("hr"),
        Control<OfferCopy>("oc"),
        Control<CopyChunk>("cc"),
        Control<CopyReceived>("cr"),
        Control<FetchCopy>("fc"),
        Control<CopyMissing>("cm"),
        Control<OpenTunnel>("to"),
        Control<TunnelOpened>("td"),
        Control<TunnelChunk>("tc"),
        Control<TunnelReceipt>("tr"),
        Control<CloseTunnel>("tx"),
        new(typeof(TensorFrame), "tf", message => TensorFrameCodec.Encode((TensorFrame)message), bytes => TensorFrameCodec.Decode(bytes, FrameLimits.Default)),
    ];

    private static readonly FrozenDictionary<Type, Entry> ByType = Table.ToFrozenDictionary(entry => entry.Type);
    private static readonly FrozenDictionary<string, Entry> ByManifest = Table.ToFrozenDictionary(entry => entry.Manifest, StringComparer.Ordinal);

    internal static IEnumerable<Type> Types => ByType.Keys;

    internal static Entry? Of(Type type) => ByType.GetValueOrDefault(type);

    internal static Entry? Of(string manifest) => ByManifest.GetValueOrDefault(manifest);

    private static Entry Control<T>(string manifest) where T : class, IWireMessage => new(
        typeof(T),
        manifest,
        message => MessagePackSerializer.Serialize((T)message, ClosedResolver.Options),
        bytes => MessagePackSerializer.Deserialize<T>(bytes, ClosedResolver.Options));

    /// <summary>A message type and its wire form.</summary>
    internal sealed record Entry(Type Type, string Manifest, Func<object, byte[]> Write, Func<ReadOnlyMemory<byte>, object> Read);
}
