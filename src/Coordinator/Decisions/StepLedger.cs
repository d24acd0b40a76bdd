using Pipeline.Protocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>
/// Which steps are committed: those that every rank has reported, in order, each once, whatever comes twice or out of turn. A step that
/// is run again after a loss is held against what was committed.
/// </summary>
/// <param name="rankCount">Ranks at first.</param>
/// <param name="startStep">Step that the run starts from, which counts as committed.</param>
internal sealed class StepLedger(int rankCount, long startStep)
{
    private readonly Dictionary<long, StepCompleted?[]> _open = [];
    private readonly SortedDictionary<long, StepOutcome> _known = [];
    private long[] _completed = [.. Enumerable.Repeat(startStep, rankCount)];
    private long[] _vouched = [.. Enumerable.Repeat(startStep, rankCount)];

    /// <summary>Last committed step.</summary>
    internal long Committed { get; private set; } = startStep;

    /// <summary>The last step of which, and of all since the last committed one, some rank has reported.</summary>
    internal long ReportedThrough
    {
        get
        {
            var step = Committed;
            while (_open.ContainsKey(step + 1)) step++;
            return step;
        }
    }

    /// <summary>The ranks that have not reported the next step.</summary>
    internal IReadOnlyList<int> Missing => [.. Enumerable.Range(0, _completed.Length)
        .Where(rank => _vouched[rank] <= Committed && (!_open.TryGetValue(Committed + 1, out var reports) || reports[rank] is null))];

    /// <summary>The last step that a rank is known to have completed since the last start.</summary>
    internal long CompletedBy(int rank) => _completed[rank];

    /// <summary>Notes that a rank has completed a step, whose report may still be under way.</summary>
    internal void Completed(int rank, long step) => _completed[rank] = step;

    /// <summary>
    /// A rank starts from a copy of its state after a step: it has completed all steps up to it, though its reports of some may have been lost
    /// with it. The steps that this commits; the rank is missing from their reports.
    /// </summary>
    internal IReadOnlyList<IReadOnlyList<StepCompleted>> Vouch(int rank, long step)
    {
        _completed[rank] = step;
        _vouched[rank] = Math.Max(_vouched[rank], step);
        return Commit();
    }

    /// <summary>Enters a report; the steps that it commits, in order, each with the reports of all ranks by rank.</summary>
    /// <exception cref="InvalidOperationException">Two ranks, or two runs of the step, disagree about it.</exception>
    internal IReadOnlyList<IReadOnlyList<StepCompleted>> Enter(StepCompleted report)
    {
        if ((uint)report.Rank >= (uint)_completed.Length) return [];
        _completed[report.Rank] = Math.Max(_completed[report.Rank], report.Step);
        if (_known.TryGetValue(report.Step, out var known)) RequireAgreement(report, known);
        if (report.Step <= Committed) return [];
        _known.TryAdd(report.Step, report.Totals);
        if (!_open.TryGetValue(report.Step, out var reports)) _open.Add(report.Step, reports = new StepCompleted?[_completed.Length]);
        if (reports[report.Rank] is not null) return [];
        reports[report.Rank] = report;
        return Commit();
    }

    /// <summary>All ranks run from a step again. Where they are others than before, what those have said of open steps counts no longer.</summary>
    internal void RestartFrom(long step, int ranks)
    {
        if (ranks != _completed.Length)
        {
            _open.Clear();
            (_completed, _vouched) = (new long[ranks], new long[ranks]);
        }

        Array.Fill(_completed, step);
    }

    /// <summary>
    /// All steps after one are run again, by so many ranks. What is committed stays so; where gradients are then added up in another order, what
    /// is run again has other bits than what was known of it.
    /// </summary>
    internal void Resize(int rankCount, long step, bool isSameOrder)
    {
        _open.Clear();
        (_completed, _vouched) = ([.. Enumerable.Repeat(step, rankCount)], [.. Enumerable.Repeat(step, rankCount)]);
        // A later way back may lead to before this step.
        if (!isSameOrder) _known.Clear();
    }

    /// <summary>What is not committed comes again, and may have other bits than what was said of it.</summary>
    internal void Unlearn()
    {
        _open.Clear();
        foreach (var step in _known.Keys.Where(step => step > Committed).ToArray()) _known.Remove(step);
    }

    /// <summary>Steps through this one will not be run again.</summary>
    internal void Forget(long throughStep)
    {
        foreach (var step in _known.Keys.TakeWhile(step => step <= Math.Min(throughStep, Committed)).ToArray()) _known.Remove(step);
    }

    private static void RequireAgreement(StepCompleted report, StepOutcome known)
    {
        if (Agrees(report.Totals, known)) return;
        throw new InvalidOperationException($"Step {report.Step}: rank {report.Rank} reports other totals than were known: loss sum {report.Totals.LossSum:R} against {known.LossSum:R}.");
    }

    private List<IReadOnlyList<StepCompleted>> Commit()
    {
        List<IReadOnlyList<StepCompleted>> committed = [];
        while (_open.TryGetValue(Committed + 1, out var reports) && reports.Index().All(report => report.Item is not null || _vouched[report.Index] > Committed))
        {
            Committed++;
            _open.Remove(Committed);
            committed.Add([.. reports.OfType<StepCompleted>()]);
        }

        return committed;
    }

    // One that was passed over may be applied when it is run again, and is told apart where that matters.
    private static bool Agrees(StepOutcome one, StepOutcome other) => one.Verdict != StepVerdict.Apply || other.Verdict != StepVerdict.Apply || (
        BitConverter.DoubleToInt64Bits(one.LossSum) == BitConverter.DoubleToInt64Bits(other.LossSum)
        && BitConverter.DoubleToInt64Bits(one.GradientNorm) == BitConverter.DoubleToInt64Bits(other.GradientNorm)
        && one.TokenCount == other.TokenCount);
}
