using System.Collections.Immutable;
using CsCheck;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class ScheduleValidatorTests
{
    private static readonly Schedule OneF1B = ScheduleCatalog.Generate("1f1b", new ScheduleShape(4, 8));

    private static readonly Gen<Schedule> Samples = Gen.OneOf(ScheduleSamples.Training(5, 6), ScheduleSamples.Whole(4, 5));

    [Fact]
    public void Any_dropped_action_is_rejected_but_a_recomputation_without_which_its_activations_are_kept() =>
        Gen.Select(Samples, Gen.Int[0, 10_000]).Sample((schedule, choice) =>
        {
            var (rank, position) = Place(schedule, choice);
            var without = WithRow(schedule, rank, schedule.Actions[rank].RemoveAt(position));
            // Which activations are dropped is read from the R that bring them back.
            if (schedule.Actions[rank][position].Kind is not ActionKind.Recompute)
                Assert.NotEmpty(ScheduleValidator.Validate(without));
            else
                Assert.Empty(ScheduleValidator.Validate(without));
        });

    [Fact]
    public void A_dropped_recomputation_is_rejected_where_memory_has_no_room_for_what_it_keeps()
    {
        var schedule = RecomputePass.Apply(ScheduleCatalog.Generate("gpipe", new ScheduleShape(2, 3)), [0, 1]);
        ImmutableArray<StageMemory> stages = [.. Enumerable.Range(0, 2).Select(_ => new StageMemory(5, 10, 1, 4) { Dropped = 8 })];
        var limits = ScheduleLimits.PromisedBy(schedule) with { Memory = new MemoryCap(stages, [.. MemoryUse.Of(schedule, stages).Select(rank => rank.Total)]) };
        Assert.Empty(ScheduleValidator.Validate(schedule, limits));
        foreach (var position in schedule.Actions[0].Select((action, index) => (action, index)).Where(pair => pair.action.Kind is ActionKind.Recompute).Select(pair => pair.index))
            Assert.NotEmpty(ScheduleValidator.Validate(WithRow(schedule, 0, schedule.Actions[0].RemoveAt(position)), limits));
    }

    [Fact]
    public void Any_duplicated_action_is_rejected_wherever_the_copy_stands() =>
        Gen.Select(Samples, Gen.Int[0, 10_000], Gen.Int[0, 10_000]).Sample((schedule, choice, target) =>
        {
            var (rank, position) = Place(schedule, choice);
            var (otherRank, otherPosition) = Place(schedule, target);
            var copied = schedule.Actions[otherRank].Insert(otherPosition, schedule.Actions[rank][position]);
            Assert.NotEmpty(ScheduleValidator.Validate(WithRow(schedule, otherRank, copied)));
        });

    [Fact]
    public void Any_action_moved_to_another_rank_is_rejected() =>
        Gen.Select(Samples, Gen.Int[0, 10_000], Gen.Int[0, 10_000]).Sample((schedule, choice, target) =>
        {
            var (rank, position) = Place(schedule, choice);
            var (otherRank, otherPosition) = Place(schedule, target);
            var moved = WithRow(schedule, otherRank, schedule.Actions[otherRank].Insert(otherPosition, schedule.Actions[rank][position]));
            if (rank != otherRank)
                Assert.NotEmpty(ScheduleValidator.Validate(WithRow(moved, rank, schedule.Actions[rank].RemoveAt(position))));
        });

    [Fact]
    public void A_swap_is_accepted_exactly_if_an_exhaustive_search_of_all_orders_finishes() =>
        Gen.Select(Gen.OneOf(ScheduleSamples.Training(3, 3), ScheduleSamples.Whole(3, 2)), Gen.Int[0, 10_000], Gen.Int[0, 10_000], Gen.Int[1, 3]).Sample((schedule, choice, other, capacity) =>
        {
            var (rank, position) = Place(schedule, choice);
            var row = schedule.Actions[rank];
            var otherPosition = other % row.Length;
            var swapped = WithRow(schedule, rank, row.SetItem(position, row[otherPosition]).SetItem(otherPosition, row[position]));
            var limits = ScheduleLimits.PromisedBy(schedule) with { MailboxCapacity = capacity };
            Assert.Equal(ProgressOracle.Accepts(swapped, limits), ScheduleValidator.Validate(swapped, limits).IsEmpty);
        }, iter: 2_000);

    [Fact]
    public void All_orders_of_two_ranks_and_two_micro_batches_are_judged_as_by_exhaustive_search()
    {
        var schedule = ScheduleCatalog.Generate("gpipe", new ScheduleShape(2, 2));
        int[] validCount = [0, 0, 0];
        foreach (var first in Orders(schedule.Actions[0]))
            foreach (var second in Orders(schedule.Actions[1]))
            {
                var candidate = schedule.WithActions([first, second]);
                foreach (var capacity in (int[])[1, 2])
                {
                    var limits = new ScheduleLimits(capacity, [2, 2]);
                    var isValid = ScheduleValidator.Validate(candidate, limits).IsEmpty;
                    Assert.Equal(ProgressOracle.Accepts(candidate, limits), isValid);
                    validCount[capacity] += isValid ? 1 : 0;
                }
            }

        // By hand: each rank has three orders that keep its own rules, F0 F1 B0 B1, F1 F0 B0 B1 and F0 B0 F1 B1. Rank 1 may take
        // any of them after the first two on rank 0, and only the last after the last; with room for one message rank 1
        // must also read in the order in which rank 0 sends.
        Assert.Equal([0, 4, 7], validCount);
    }

    [Fact]
    public void Split_backwards_and_recomputes_are_judged_as_by_exhaustive_search()
    {
        var schedule = new Schedule("split", ScheduleMode.Train, 2, [0, 1], [Row("0F0,0F1,0I0,0W0,0R1,0B1"), Row("1F0,1I0,1F1,1I1,1W0,1W1")]);
        Assert.Empty(ScheduleValidator.Validate(schedule));
        Assert.True(schedule.UsesSplitBackward);
        Gen.Select(Gen.Int[0, 1], Gen.Shuffle((int[])[0, 1, 2, 3, 4, 5])).Sample((rank, order) =>
        {
            var mutated = WithRow(schedule, rank, [.. order.Select(index => schedule.Actions[rank][index])]);
            var limits = ScheduleLimits.Loosest(mutated) with { LeavesInIndexOrder = true };
            Assert.Equal(ProgressOracle.Accepts(mutated, limits), ScheduleValidator.Validate(mutated, limits).IsEmpty);
        }, iter: 2_000);
    }

    [Theory]
    [InlineData("0F0,0B0,0W0", "runs whole and in halves")]
    [InlineData("0F0,0I0", "0W0 is missing")]
    [InlineData("0F0,0W0", "0I0 is missing")]
    [InlineData("0F0,0W0,0I0", "runs before 0I0")]
    [InlineData("0B0,0F0", "runs before 0F0")]
    [InlineData("0F0,0B0,0R0", "0B0: it runs before 0R0")]
    [InlineData("0F0,0B0,0O", "does not declare that it ends its step")]
    [InlineData("0F0,0F0,0B0", "runs a second time, it stands at action 1 already")]
    public void Faults_of_one_rank_are_named(string row, string expected)
    {
        var schedule = new Schedule("own", ScheduleMode.Train, 1, [0], [Row(row)]);
        Assert.Contains(ScheduleValidator.Validate(schedule), problem => problem.Message.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void An_evaluation_refuses_backwards_and_step_ends()
    {
        var schedule = new Schedule("own", ScheduleMode.Evaluate, 1, [0], [Row("0F0,0B0,0N")]);
        Assert.Equal(2, ScheduleValidator.Validate(schedule).Length);
    }

    [Fact]
    public void A_crossed_pair_of_ranks_is_reported_as_blocked_with_what_each_waits_for()
    {
        var schedule = new Schedule("crossed", ScheduleMode.Train, 2, [0, 1], [Row("0F0,0B0,0F1,0B1"), Row("1F0,1F1,1B0,1B1")]);
        var problems = ScheduleValidator.Validate(schedule);
        Assert.Equal(
            [
                "rank 0, action 2: blocked before 0B0: it waits for the gradient of micro-batch 0 from stage 1 on rank 1",
                "rank 1, action 2: blocked before 1F1: it waits for 0F1 of rank 0",
            ],
            problems.Select(problem => problem.ToString()));
    }

    [Fact]
    public void A_mailbox_that_is_too_small_is_reported()
    {
        // Stage 1 reads micro-batch 1 first, so that micro-batch 0 lies unread before it.
        var schedule = new Schedule("late", ScheduleMode.Train, 2, [0, 1], [Row("0F0,0F1,0B0,0B1"), Row("1F1,1F0,1B0,1B1")]);
        Assert.Empty(ScheduleValidator.Validate(schedule, new ScheduleLimits(2, [2, 2])));
        Assert.Equal(2, ScheduleValidator.RequiredMailboxCapacity(schedule));
        var problem = ScheduleValidator.Validate(schedule, new ScheduleLimits(1, [2, 2]))[0];
        Assert.Equal("rank 0, action 2: blocked before 0F1: its output has no room, since stage 1 on rank 1 has not read the 1 that its mailbox holds", problem.ToString());
    }

    [Fact]
    public void A_file_that_calls_itself_1f1b_is_held_to_its_in_flight_bound()
    {
        var gpipe = ScheduleCatalog.Generate("gpipe", new ScheduleShape(2, 3));
        var disguised = new Schedule("1f1b", gpipe.Mode, gpipe.MicroBatchCount, gpipe.RankOfStage, gpipe.Actions);
        Assert.Equal(
            [
                "rank 0, action 3: 0F2 is one forward too many without its backward: 1f1b holds at most 2 here",
                "rank 1, action 2: 1F1 is one forward too many without its backward: 1f1b holds at most 1 here",
            ],
            ScheduleValidator.Validate(disguised).Select(problem => problem.ToString()));
    }

    [Fact]
    public void A_rank_that_would_hold_more_bytes_than_it_has_is_reported_at_the_action_that_is_too_much() =>
        Gen.Select(ScheduleSamples.Training(4, 6), Gen.Int[0, 3]).Sample((schedule, missing) =>
        {
            var stages = Enumerable.Range(0, schedule.StageCount).Select(stage => new StageMemory(5, 10 + stage, 1, 4)).ToImmutableArray();
            var needed = MemoryUse.Of(schedule, stages).Select(rank => rank.Total).ToImmutableArray();
            var limits = ScheduleLimits.PromisedBy(schedule) with { Memory = new MemoryCap(stages, needed) };
            Assert.Empty(ScheduleValidator.Validate(schedule, limits));
            var rank = missing % schedule.RankCount;
            var problem = Assert.Single(ScheduleValidator.Validate(schedule, limits with { Memory = new MemoryCap(stages, needed.SetItem(rank, needed[rank] - 1)) }));
            Assert.Equal(rank, problem.Rank);
            Assert.Contains("bytes, but the rank has", problem.Message, StringComparison.Ordinal);
            Assert.Equal(ActionKind.Forward, schedule.Actions[rank][problem.Position].Kind);
        });

    [Fact]
    public void Leaves_out_of_index_order_are_rejected_unless_the_limits_allow_them()
    {
        var reversed = new Schedule("reversed", ScheduleMode.Train, 2, [0], [Row("0F0,0F1,0B1,0B0")]);
        var ordered = ScheduleLimits.Loosest(reversed) with { LeavesInIndexOrder = true };
        Assert.Contains("expected index order", Assert.Single(ScheduleValidator.Validate(reversed, ordered)).Message, StringComparison.Ordinal);
        Assert.Empty(ScheduleValidator.Validate(reversed));
    }

    [Fact]
    public void The_error_shows_the_table_around_the_place()
    {
        var row = OneF1B.Actions[1];
        var twice = WithRow(OneF1B, 1, row.Insert(7, row[5]));
        Assert.Equal(
            """
            Schedule 1f1b (4 ranks, 4 stages, 8 micro-batches) cannot run: rank 1, action 8: 1B1 runs a second time, it stands at action 6 already.
              rank 0   …  0F3  0B0  0F4  0B1  0F5  0B2  0F6  0B3  0F7 …
              rank 1   …  1B0  1F3  1B1  1F4 [1B1] 1B2  1F5  1B3  1F6 …
              rank 2   …  2F2  2B1  2F3  2B2  2F4  2B3  2F5  2B4  2F6 …

            """,
            Assert.Throws<ScheduleException>(() => ScheduleValidator.ThrowIfInvalid(twice)).Message);
        var without = WithRow(OneF1B, 3, OneF1B.Actions[3].RemoveAt(15));
        Assert.EndsWith(
            """
            rank 3, action 16: 3B7 is missing.
              rank 2   …  2F6  2B5  2F7  2B6  2B7
              rank 3   …  3B5  3F6  3B6  3F7 []

            """,
            Assert.Throws<ScheduleException>(() => ScheduleValidator.ThrowIfInvalid(without)).Message,
            StringComparison.Ordinal);
        ScheduleValidator.ThrowIfInvalid(OneF1B);
    }

    private static ImmutableArray<StageAction> Row(string text) => [.. text.Split(',').Select(cell => StageAction.Parse(cell))];

    private static (int Rank, int Position) Place(Schedule schedule, int choice)
    {
        var rank = choice % schedule.RankCount;
        return (rank, choice / schedule.RankCount % schedule.Actions[rank].Length);
    }

    private static Schedule WithRow(Schedule schedule, int rank, ImmutableArray<StageAction> row) =>
        schedule.WithActions(schedule.Actions.SetItem(rank, row));

    private static IEnumerable<ImmutableArray<StageAction>> Orders(ImmutableArray<StageAction> row)
    {
        if (row.IsEmpty)
            yield return [];
        foreach (var first in row)
            foreach (var rest in Orders(row.Remove(first)))
                yield return [first, .. rest];
    }
}
