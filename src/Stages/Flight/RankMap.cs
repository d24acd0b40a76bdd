using Pipeline.Protocol.Frames;

namespace Pipeline.Stages;

/// <summary>Which rank an input comes from: so that a wait can be said to be one for somebody. Pure.</summary>
/// <param name="rankOfStage">The rank of each stage.</param>
/// <param name="otherEnds">The rank of the other end of each tie of this rank, by the tie's number.</param>
/// <param name="totalsRank">The rank that tells all what a step amounts to; null for that of stage 0.</param>
internal sealed class RankMap(IReadOnlyList<int> rankOfStage, IReadOnlyDictionary<int, int> otherEnds, int? totalsRank = null)
{
    /// <summary>Nothing is known yet.</summary>
    internal static RankMap Empty { get; } = new([], new Dictionary<int, int>());

    /// <summary>The map of a rank.</summary>
    internal static RankMap Of(RankPlan plan)
    {
        Dictionary<int, int> ends = [];
        foreach (var tie in plan.Models.Keys.SelectMany(plan.TiesOf)) ends[tie.Number] = plan.RankOf(tie.OtherStage);
        return new RankMap([.. plan.Schedule.RankOfStage.Select((_, stage) => plan.RankOf(stage))], ends, plan.TotalsRank);
    }

    /// <summary>Who sends what an entry is about; -1 where that is no rank, or not known.</summary>
    internal int SenderOf(FlightSubject subject) => subject.Kind switch
    {
        FlightSubjectKind.Tensor => subject.Tensor switch
        {
            FrameKind.Activation or FrameKind.EvaluationActivation => RankOf(subject.Place),
            FrameKind.Gradient => RankOf(subject.Place + 1),
            FrameKind.TiedGradientFromOwner or FrameKind.TiedGradientToOwner => otherEnds.GetValueOrDefault(subject.Place, -1),
            _ => -1,
        },
        FlightSubjectKind.Squares => RankOf(subject.Place),
        FlightSubjectKind.Totals => totalsRank ?? RankOf(0),
        _ => -1,
    };

    private int RankOf(int stage) => (uint)stage < (uint)rankOfStage.Count ? rankOfStage[stage] : -1;
}
