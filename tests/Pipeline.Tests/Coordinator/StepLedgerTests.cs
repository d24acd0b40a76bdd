using CsCheck;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Xunit;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Tests.Coordinator;

public sealed class StepLedgerTests
{
    [Fact]
    public void Whatever_the_order_and_however_often_reports_come_each_step_is_committed_once_and_in_order()
    {
        Gen.Select(Gen.Int[1, 4], Gen.Int[1, 8], Gen.Int[0, 9]).SelectMany((rankCount, stepCount, start) =>
                Gen.Shuffle(Reports(rankCount, stepCount, start).ToArray()).Select(order => (rankCount, stepCount, start, order)))
            .Sample(run =>
            {
                var ledger = new StepLedger(run.rankCount, run.start);
                var committed = run.order.SelectMany(ledger.Enter).ToArray();
                Assert.Equal(Enumerable.Range(run.start + 1, run.stepCount).Select(step => (long)step), committed.Select(reports => reports[0].Step));
                Assert.All(committed, reports => Assert.Equal(Enumerable.Range(0, run.rankCount), reports.Select(report => report.Rank)));
                Assert.Equal(run.start + run.stepCount, ledger.Committed);
            }, iter: 300);
    }

    [Fact]
    public void A_step_that_one_rank_has_not_reported_holds_back_the_later_ones()
    {
        var ledger = new StepLedger(2, 0);
        Assert.Empty(ledger.Enter(Report(0, 1)));
        Assert.Empty(ledger.Enter(Report(0, 2)));
        Assert.Empty(ledger.Enter(Report(1, 2)));
        Assert.Equal(2, ledger.Enter(Report(1, 1)).Count);
    }

    [Fact]
    public void Ranks_that_disagree_about_a_step_are_a_broken_invariant()
    {
        var ledger = new StepLedger(2, 0);
        ledger.Enter(Report(0, 1));
        Assert.Throws<InvalidOperationException>(() => ledger.Enter(Report(1, 1) with { Totals = new StepOutcome(1.5, 8, 1, StepVerdict.Apply, -1) }));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void What_was_known_is_held_against_what_comes_again_only_where_it_is_added_up_in_the_same_order(bool isSameOrder)
    {
        var ledger = new StepLedger(2, 0);
        foreach (var step in new[] { 1, 2, 3, 4 }) foreach (var rank in new[] { 0, 1 }) ledger.Enter(Report(rank, step));
        ledger.Resize(1, 4, isSameOrder);
        // A later loss leads back to before the change.
        ledger.RestartFrom(2, 1);
        var other = Report(0, 3) with { Totals = new StepOutcome(3.5, 8, 1, StepVerdict.Apply, -1) };
        if (isSameOrder) Assert.Throws<InvalidOperationException>(() => ledger.Enter(other));
        else Assert.Empty(ledger.Enter(other));
        Assert.Equal(4, ledger.Committed);
    }

    internal static StepCompleted Report(int rank, long step) => new(
        Generation.First, rank, step, new StepOutcome(step, 8, 1, StepVerdict.Apply, -1), 0.1, new StepTiming(2, 1, 1), 10, [], []);

    // Each report three times: once in order, twice as late duplicates.
    private static IEnumerable<StepCompleted> Reports(int rankCount, int stepCount, int start) =>
        from copy in Enumerable.Range(0, 3)
        from step in Enumerable.Range(start + 1, stepCount)
        from rank in Enumerable.Range(0, rankCount)
        select Report(rank, step);
}
