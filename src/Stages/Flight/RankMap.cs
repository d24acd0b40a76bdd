using Pipeline.Protocol.Frames;

namespace Pipeline.Stages;

/// <summary>Which rank an input comes from: so that a wait can be said to be one for somebody. Pure.</summary>
/// <param name="rankOfStage">The rank of each stage in the schedule of one replica.</param>
/// <param name="otherEnds">The rank of the other end of each tie of this rank, by the tie's number.</param>
internal sealed class RankMap(IReadOnlyList<int> rankOfStage, IReadOnlyDictionary<int, int> otherEnds)
{
    private readonly int _ranksPerReplica = rankOfStage.Count > 0 ? rankOfStage.Max() + 1 : 0;

    /// <summary>Nothing is known yet.</summary>
    internal static RankMap Empty { get; } = new([], new Dictionary<int, int>());

    /// <summary>The replica of the rank, whose neighbours are in the same one.</summary>
    internal int Replica { get; init; }

    /// <summary>Replicas; one more than the last of them is the reducer.</summary>
    internal int ReplicaCount { get; init; } = int.MaxValue;

    /// <summary>The stage of each unit of the model: what replicas send each other names units.</summary>
    internal IReadOnlyList<int> StageOfUnit { get; init; } = [];

    /// <summary>The map of a rank.</summary>
    internal static RankMap Of(RankPlan plan)
    {
        Dictionary<int, int> ends = [];
        foreach (var tie in plan.Models.Keys.SelectMany(plan.TiesOf)) ends[tie.Number] = plan.RankOf(tie.OtherStage);
        return new RankMap(plan.Schedule.RankOfStage, ends)
        {
            Replica = plan.Place.Index,
            ReplicaCount = plan.Place.Count,
            StageOfUnit = [.. plan.Assignment.Layout.UnitCounts.SelectMany((count, stage) => Enumerable.Repeat(stage, count))],
        };
    }

    /// <summary>An entry as people read it.</summary>
    internal string InWords(FlightSubject subject) => subject switch
    {
        { Kind: FlightSubjectKind.Squares } when rankOfStage.Count > 0 => (subject with { Place = subject.Place % rankOfStage.Count, MicroBatch = subject.Place / rankOfStage.Count }).ToString(),
        { Kind: FlightSubjectKind.Tensor, Tensor: FrameKind.ReducedGradient } when subject.MicroBatch == ReplicaCount => (subject with { MicroBatch = -1 }).ToString(),
        _ => subject.ToString(),
    };

    /// <summary>Who sends what an entry is about; -1 where that is no rank, or not known.</summary>
    internal int SenderOf(FlightSubject subject) => subject.Kind switch
    {
        FlightSubjectKind.Tensor => subject.Tensor switch
        {
            FrameKind.Activation or FrameKind.EvaluationActivation => RankOf(subject.Place, Replica),
            FrameKind.Gradient => RankOf(subject.Place + 1, Replica),
            FrameKind.TiedGradientFromOwner or FrameKind.TiedGradientToOwner => otherEnds.GetValueOrDefault(subject.Place, -1),
            FrameKind.GradientContribution or FrameKind.ReducedGradient or FrameKind.UpdatedWeights => RankOf(StageOf(subject.Place), subject.MicroBatch),
            _ => -1,
        },
        // Contributor r · stages + s is stage s of replica r.
        FlightSubjectKind.Squares when rankOfStage.Count > 0 => RankOf(subject.Place % rankOfStage.Count, subject.Place / rankOfStage.Count),
        FlightSubjectKind.Totals => RankOf(0, 0),
        _ => -1,
    };

    private int StageOf(int unit) => (uint)unit < (uint)StageOfUnit.Count ? StageOfUnit[unit] : -1;

    private int RankOf(int stage, int replica) => (uint)stage < (uint)rankOfStage.Count && replica >= 0 ? replica * _ranksPerReplica + rankOfStage[stage] : -1;
}
