using CsCheck;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Xunit;
using static Pipeline.Protocol.NodeProtocol;

namespace Pipeline.Tests.Coordinator;

public sealed class RecoveryPlanTests
{
    private static readonly NodeId[] Holders = [.. Enumerable.Range(0, 4).Select(index => new NodeId($"node{index}", 1))];

    /// <summary>Copies as they may come in: each rank's in order, ranks mixed, some missing; then a holder is lost.</summary>
    private static readonly Gen<(int RankCount, List<(int Rank, long Step, NodeId Holder)> Stored, int LostHolder, int[] LostRanks)> Histories =
        Gen.Select(Gen.Int[1, 4], Gen.Int[0, 6].Array[4], Gen.Int[0, 3], Gen.Int[0, 3].Array[0, 4], Gen.Int[0, 1000]).Select((rankCount, counts, lostHolder, lostRanks, seed) =>
        {
            var chance = new Random(seed);
            var left = Enumerable.Range(0, rankCount).ToDictionary(rank => rank, rank => new Queue<long>(Enumerable.Range(1, counts[rank]).Select(step => (long)step)));
            List<(int, long, NodeId)> stored = [];
            while (left.Values.Any(queue => queue.Count > 0))
            {
                var rank = chance.Next(rankCount);
                if (left[rank].TryDequeue(out var step)) stored.Add((rank, step, Holders[(rank + 1) % Holders.Length]));
            }

            return (rankCount, stored, lostHolder, lostRanks.Where(rank => rank < rankCount).Distinct().ToArray());
        });

    [Fact]
    public void A_replay_never_starts_before_what_is_protected_nor_from_a_copy_that_is_gone()
    {
        Histories.Sample(history =>
        {
            var copies = new CopyLedger(history.RankCount, 0);
            foreach (var (rank, step, holder) in history.Stored) copies.Enter(rank, step, holder);
            var announced = copies.ProtectedStep;
            copies.Lose(Holders[history.LostHolder]);
            var plan = RecoveryPlan.For(new LossReport(history.LostRanks, history.RankCount, copies, announced, StartingPoint.Initial, true, 0));
            switch (plan)
            {
                case RecoveryPlan.Repeat:
                    Assert.Empty(history.LostRanks);
                    break;
                case RecoveryPlan.Replay replay:
                    Assert.Equal(history.LostRanks.Order(), replay.Starts.Keys.Order());
                    // They feed each other, and what one has left behind it, it cannot say again.
                    Assert.Single(replay.Starts.Values.Select(start => start.Step).Distinct());
                    Assert.All(replay.Starts, start =>
                    {
                        Assert.True(start.Value.Step >= announced);
                        if (!start.Value.IsBase) Assert.Contains((start.Key, start.Value.Step, start.Value.Holder), history.Stored);
                        Assert.NotEqual(Holders[history.LostHolder], start.Value.Holder);
                    });
                    break;
                case RecoveryPlan.Restart restart:
                    // Only because the lost ranks have no step in common that is protected: a holder is gone, or one rank's copies ran ahead.
                    Assert.Equal(0, restart.Step);
                    var common = history.LostRanks.Select(copies.StepsOf).Aggregate((one, other) => [.. one.Intersect(other)]);
                    Assert.DoesNotContain(common, step => step >= announced);
                    break;
            }
        });
    }

    [Fact]
    public void A_lost_rank_starts_no_later_than_the_step_that_all_others_have_completed()
    {
        var copies = new CopyLedger(2, 0);
        foreach (var (rank, step) in new[] { (0, 2L), (1, 2L), (0, 4L) }) copies.Enter(rank, step, Holders[rank]);
        var loss = new LossReport([0], 2, copies, 2, StartingPoint.Initial, true, 0, ReachedStep: 3);
        Assert.Equal(2, Assert.IsType<RecoveryPlan.Replay>(RecoveryPlan.For(loss)).Starts[0].Step);
        Assert.Equal(4, Assert.IsType<RecoveryPlan.Replay>(RecoveryPlan.For(loss with { ReachedStep = 4 })).Starts[0].Step);
        // What is protected was completed by all, whatever they have said.
        Assert.Equal(2, Assert.IsType<RecoveryPlan.Replay>(RecoveryPlan.For(loss with { ReachedStep = 0 })).Starts[0].Step);
    }

    [Fact]
    public void Nobody_completes_a_step_before_all_others_have_completed_the_one_before_it()
    {
        var reached = new ReachedSteps(3);
        long[] said = [4, 7, 8];
        // Rank 0's reports lag: it has contributed to step 8.
        Assert.Equal(7, reached.Of([0, 1], rank => said[rank], 8));
        Assert.Equal(8, reached.Of([2], rank => said[rank], 8));
        Assert.Equal(long.MaxValue, reached.Of([], rank => said[rank], 8));
    }

    [Fact]
    public void A_rank_that_runs_again_what_it_had_contributed_to_is_believed_itself_alone()
    {
        var reached = new ReachedSteps(2);
        reached.PutBack(0, 20);
        Assert.Equal(4, reached.Of([0, 1], rank => rank == 0 ? 4 : 9, 9));
        Assert.Equal(19, reached.Of([0, 1], rank => rank == 0 ? 19 : 23, 23));
        // Past what was granted when it was put back, all contributions are its own.
        Assert.Equal(22, reached.Of([0, 1], rank => rank == 0 ? 20 : 23, 23));
        // Nobody was further than step 11 when all were asked: the former rank had begun step 12 at most.
        reached.Know(11);
        Assert.Equal(11, reached.Of([0, 1], rank => rank == 0 ? 11 : 15, 15));
        Assert.Equal(14, reached.Of([0, 1], rank => rank == 0 ? 12 : 15, 15));
        reached.Restart();
        Assert.Equal(8, reached.Of([0, 1], rank => rank == 0 ? 4 : 9, 9));
    }

    [Fact]
    public void A_copy_after_each_step_is_enough_where_reports_lag_by_a_step()
    {
        // A holder keeps two copies. Rank 1 has died after the copy of step 6; the others have been heard of up to step 4 only.
        var copies = new CopyLedger(2, 0);
        foreach (var (rank, step) in new[] { (0, 3L), (1, 3L), (0, 4L), (1, 4L), (1, 5L), (1, 6L) }) copies.Enter(rank, step, Holders[rank]);
        var reached = new ReachedSteps(2).Of([0], _ => 4, 6);
        var loss = new LossReport([1], 2, copies, 4, StartingPoint.Initial, false, 0, ReachedStep: reached);
        Assert.Equal(5, Assert.IsType<RecoveryPlan.Replay>(RecoveryPlan.For(loss)).Starts[1].Step);
    }

    [Fact]
    public void What_is_protected_can_be_had_for_every_rank_and_never_falls()
    {
        Histories.Sample(history =>
        {
            var copies = new CopyLedger(history.RankCount, 0);
            var before = 0L;
            foreach (var (rank, step, holder) in history.Stored)
            {
                copies.Enter(rank, step, holder);
                Assert.True(copies.ProtectedStep >= before);
                before = copies.ProtectedStep;
                if (before > 0) Assert.All(Enumerable.Range(0, history.RankCount), one => Assert.Contains(copies.StepsOf(one), kept => kept >= before));
            }
        });
    }

    [Fact]
    public void A_step_that_no_rank_has_reported_is_run_again()
    {
        // The only rank is gone, and with it its reports of the steps after 3; it has copies after 3 and 4.
        var copies = new CopyLedger(1, 0);
        copies.Enter(0, 3, Holders[1]);
        copies.Enter(0, 4, Holders[1]);
        var loss = new LossReport([0], 1, copies, 3, StartingPoint.Initial, true, 0, ReportedStep: 3);
        Assert.Equal(3, Assert.IsType<RecoveryPlan.Replay>(RecoveryPlan.For(loss)).Starts[0].Step);
        Assert.Equal(4, Assert.IsType<RecoveryPlan.Replay>(RecoveryPlan.For(loss with { ReportedStep = 4 })).Starts[0].Step);
        Assert.IsType<RecoveryPlan.Restart>(RecoveryPlan.For(loss with { ReportedStep = 2 }));
    }

    [Fact]
    public void Lost_neighbours_start_after_the_same_step()
    {
        var copies = new CopyLedger(3, 0);
        foreach (var (rank, step) in new[] { (0, 2L), (1, 2L), (2, 2L), (0, 4L) }) copies.Enter(rank, step, Holders[rank + 1]);
        var replay = Assert.IsType<RecoveryPlan.Replay>(RecoveryPlan.For(new LossReport([0, 1], 3, copies, 2, StartingPoint.Initial, true, 0)));
        Assert.Equal([2, 2], replay.Starts.Values.Select(start => start.Step));
        // Alone, the rank is put back no further than it must be.
        Assert.Equal(4, Assert.IsType<RecoveryPlan.Replay>(RecoveryPlan.For(new LossReport([0], 3, copies, 2, StartingPoint.Initial, true, 0))).Starts[0].Step);
        // A neighbour that was replaced from the copy of step 4 cannot say again what led there.
        Assert.IsType<RecoveryPlan.Restart>(RecoveryPlan.For(new LossReport([1], 3, copies, 4, StartingPoint.Initial, true, 0)));
    }

    [Fact]
    public void Without_copies_all_ranks_start_from_the_checkpoint_once_kept_messages_no_longer_reach_back()
    {
        var copies = new CopyLedger(2, 10);
        Assert.IsType<RecoveryPlan.Replay>(RecoveryPlan.For(new LossReport([1], 2, copies, 10, StartingPoint.Checkpoint(10), true, 10)));
        Assert.Equal(new RecoveryPlan.Restart(20), RecoveryPlan.For(new LossReport([1], 2, copies, 12, StartingPoint.Checkpoint(10), true, 20)));
    }

    [Fact]
    public void A_copy_of_the_state_that_all_began_from_serves_where_that_is_gone()
    {
        // A coordinator on the smaller side of a split had all ranks begin anew from the checkpoint of step 10, which is pruned; a copy of rank 1 is left elsewhere.
        var copies = new CopyLedger(2, 10);
        copies.Enter(1, 10, Holders[2]);
        var loss = new LossReport([1], 2, copies, 10, StartingPoint.Checkpoint(10), false, 30, ReachedStep: 10);
        Assert.Equal(new RecoveryPlan.ReplayStart(10, false, Holders[2]), Assert.IsType<RecoveryPlan.Replay>(RecoveryPlan.For(loss)).Starts[1]);
        Assert.Equal(new RecoveryPlan.Restart(30), RecoveryPlan.For(loss with { Copies = new CopyLedger(2, 10) }));
    }

    [Fact]
    public void A_successor_does_not_adopt_who_has_not_come_to_where_all_ranks_began_anew()
    {
        var entry = new JournalEntry(new RunId(1), new Generation(3), new Generation(1), [2, 2], "", [Holders[0], Holders[0]], StartingPoint.Checkpoint(10), 10, false);
        var takeOver = TakeOver.For(entry, [Report(1, new HostedStage(0, new Generation(2), new Generation(1), 9, 20, 5, false, "")), Report(2, new HostedStage(1, new Generation(2), new Generation(1), 10, 20, 5, false, ""))], 2);
        Assert.Equal([1], takeOver.Adopted.Keys);
        Assert.Equal([0], takeOver.Lost);
    }

    [Fact]
    public void A_successor_adopts_what_goes_on_and_outbids_every_generation_it_hears_of()
    {
        var entry = new JournalEntry(new RunId(1), new Generation(3), new Generation(2), [2, 2, 2], "", [Holders[0], Holders[1], Holders[2]], StartingPoint.Initial, 4, false);
        var reports = new[]
        {
            Report(0, new HostedStage(0, new Generation(3), new Generation(2), 7, 20, 5, false, "")),
            Report(1, new HostedStage(1, new Generation(3), new Generation(2), 8, 22, 6, false, ""), new HostedStage(2, new Generation(1), new Generation(1), 9, 99, 9, false, "")),
            Report(3, new HostedStage(0, new Generation(2), new Generation(2), 6, 12, 4, false, "")),
        };
        var takeOver = TakeOver.For(entry, reports, 3);
        Assert.Equal(new Generation(4), takeOver.Generation);
        Assert.Equal([(0, Holders[0]), (1, Holders[1])], takeOver.Adopted.OrderBy(pair => pair.Key).Select(pair => (pair.Key, pair.Value)));
        Assert.Equal([2], takeOver.Lost);
        Assert.Equal((22, 6), (takeOver.GrantedStep, takeOver.ProtectedStep));
        Assert.Equal([7, 8, 4], takeOver.CompletedSteps);
    }

    private static HostedReport Report(int node, params HostedStage[] stages) =>
        new(Holders[node], PlacementTests.Node(node, "host", 0), new Generation(3), stages, []);
}
