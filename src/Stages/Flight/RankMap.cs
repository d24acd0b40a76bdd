using Pipeline.Protocol;
using Pipeline.Protocol.Frames;

namespace Pipeline.Stages;

/// <summary>Which rank an input comes from: so that a wait can be said to be one for somebody. Pure.</summary>
/// <param name="mesh">All replicas; null while nothing is known.</param>
/// <param name="replica">The replica of the rank, whose neighbours are in the same one.</param>
/// <param name="otherEnds">The rank of the other end of each tie of this rank, by the tie's number.</param>
internal sealed class RankMap(ReplicaMesh? mesh, int replica, IReadOnlyDictionary<int, int> otherEnds)
{
    /// <summary>Nothing is known yet.</summary>
    internal static RankMap Empty { get; } = new(null, 0, new Dictionary<int, int>());

    /// <summary>The map of a rank.</summary>
    internal static RankMap Of(RankPlan plan)
    {
        Dictionary<int, int> ends = [];
        foreach (var tie in plan.Models.Keys.SelectMany(plan.TiesOf)) ends[tie.Number] = plan.RankOf(tie.OtherStage);
        return new RankMap(plan.Mesh, plan.Place.Index, ends);
    }

    /// <summary>An entry as people read it.</summary>
    internal string InWords(FlightSubject subject) => subject switch
    {
        { Kind: FlightSubjectKind.Squares } when mesh?.ContributorAt(subject.Place) is var (sender, stage) => (subject with { Place = stage, MicroBatch = sender }).ToString(),
        { Kind: FlightSubjectKind.Tensor, Tensor: FrameKind.ReducedGradient } when subject.MicroBatch == mesh?.ReplicaCount => (subject with { MicroBatch = ReplicaMesh.Reducers }).ToString(),
        _ => subject.ToString(),
    };

    /// <summary>Who sends what an entry is about; -1 where that is no rank, or not known.</summary>
    internal int SenderOf(FlightSubject subject) => subject.Kind switch
    {
        FlightSubjectKind.Tensor => subject.Tensor switch
        {
            FrameKind.Activation or FrameKind.EvaluationActivation => RankOf(subject.Place, replica),
            FrameKind.Gradient => RankOf(subject.Place + 1, replica),
            FrameKind.TiedGradientFromOwner or FrameKind.TiedGradientToOwner => otherEnds.GetValueOrDefault(subject.Place, -1),
            // Round after round, where gradients are freed.
            FrameKind.GradientContribution when mesh is not null => RankOfUnit(subject.Place, subject.MicroBatch % mesh.ReplicaCount),
            FrameKind.ReducedGradient or FrameKind.UpdatedWeights => RankOfUnit(subject.Place, subject.MicroBatch),
            _ => -1,
        },
        FlightSubjectKind.Squares when mesh?.ContributorAt(subject.Place) is var (sender, stage) => RankOf(stage, sender),
        FlightSubjectKind.Totals => RankOf(0, 0),
        _ => -1,
    };

    private int RankOf(int stage, int ofReplica) =>
        mesh is not null && (uint)ofReplica < (uint)mesh.ReplicaCount && (uint)stage < (uint)mesh.Replicas[ofReplica].StageCount ? mesh.RankOf(ofReplica, stage) : -1;

    /// <summary>The number after the last replica stands for what adds up beside them.</summary>
    private int RankOfUnit(int unit, int ofReplica) => mesh is null || (uint)unit >= (uint)mesh.First.UnitCount || ofReplica < 0 || ofReplica > mesh.ReplicaCount ? -1
        : mesh.RankOfUnit(ofReplica == mesh.ReplicaCount ? ReplicaMesh.Reducers : ofReplica, unit);
}
