using Pipeline.Protocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>
/// Which steps are committed: those that every rank has reported, in order, each once, whatever comes twice or out of turn.
/// </summary>
/// <param name="rankCount">Ranks.</param>
/// <param name="startStep">Step that the run starts from, which counts as committed.</param>
internal sealed class StepLedger(int rankCount, long startStep)
{
    private readonly Dictionary<long, StepCompleted?[]> _open = [];

    /// <summary>Last committed step.</summary>
    internal long Committed { get; private set; } = startStep;

    /// <summary>Enters a report; the steps that it commits, in order, each with the reports of all ranks by rank.</summary>
    /// <exception cref="InvalidOperationException">Two ranks disagree about a step.</exception>
    internal IReadOnlyList<IReadOnlyList<StepCompleted>> Enter(StepCompleted report)
    {
        if (report.Step <= Committed || (uint)report.Rank >= (uint)rankCount) return [];
        if (!_open.TryGetValue(report.Step, out var reports)) _open.Add(report.Step, reports = new StepCompleted?[rankCount]);
        if (reports[report.Rank] is not null) return [];
        reports[report.Rank] = report;
        if (reports.FirstOrDefault(other => other is not null && !Agrees(other.Totals, report.Totals)) is { } other)
            throw new InvalidOperationException($"Step {report.Step}: ranks {other.Rank} and {report.Rank} report different totals.");
        return Commit();
    }

    private List<IReadOnlyList<StepCompleted>> Commit()
    {
        List<IReadOnlyList<StepCompleted>> committed = [];
        while (_open.TryGetValue(Committed + 1, out var reports) && reports.All(report => report is not null))
        {
            Committed++;
            _open.Remove(Committed);
            committed.Add([.. reports.OfType<StepCompleted>()]);
        }

        return committed;
    }

    private static bool Agrees(StepOutcome one, StepOutcome other) =>
        BitConverter.DoubleToInt64Bits(one.LossSum) == BitConverter.DoubleToInt64Bits(other.LossSum)
        && BitConverter.DoubleToInt64Bits(one.GradientNorm) == BitConverter.DoubleToInt64Bits(other.GradientNorm)
        && one.TokenCount == other.TokenCount;
}
