using System.Collections.Immutable;
using CsCheck;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class SimulatorTests
{
    private const double Tolerance = 1e-9;

    private static readonly Gen<ActionCosts> s_costs = Gen.Select(Gen.Double[0.1, 3].Array[48], Gen.Double[0, 1]).Select((random, latency) =>
        ActionCosts.PerStage([.. random.Take(12)], [.. random.Skip(12).Take(12)], latency)
            .With(ActionKind.InputGradient, [.. random.Skip(24).Take(12)]).With(ActionKind.WeightGradient, [.. random.Skip(36).Take(12)])
            .With(ActionKind.TiedSum, 0.5).With(ActionKind.Norm, 0.25).With(ActionKind.Optimizer, 1));

    private static readonly Gen<Schedule> s_schedules =
        ScheduleSamples.Training(4, 7).Select(schedule => schedule).Where(schedule => schedule.StageCount <= 12);

    [Fact]
    public void Without_links_it_agrees_with_the_plain_computation_of_times() =>
        Gen.Select(s_schedules, s_costs, Gen.Bool).Sample((schedule, costs, recomputes) =>
        {
            if (recomputes)
                schedule = RecomputePass.Apply(schedule, [0, schedule.StageCount - 1]);
            costs = For(costs, schedule.StageCount);
            var expected = ScheduleTiming.Predict(schedule, costs);
            var step = Simulator.Run(schedule, new SimulationModel { Costs = costs });
            Assert.Equal(expected.Duration, step.Duration, Tolerance);
            for (var rank = 0; rank < schedule.RankCount; rank++)
            {
                Assert.Equal(expected.Rows[rank].Length, schedule.Actions[rank].Length);
                for (var position = 0; position < schedule.Actions[rank].Length; position++)
                    Assert.Equal(expected.Rows[rank][position].Start, step.Span(rank, position).Start, Tolerance);
                Assert.Equal(expected.Usage[rank].Busy, step.Ranks[rank].Busy, Tolerance);
                Assert.Equal(expected.Usage[rank].Wait, step.Ranks[rank].Wait, Tolerance);
                Assert.Equal(expected.Usage[rank].Bubble, step.Ranks[rank].Bubble, Tolerance);
            }
        });

    [Fact]
    public void With_links_times_add_up_and_dearer_links_are_never_faster() =>
        Gen.Select(s_schedules, s_costs, Gen.Double[0, 0.3], Gen.Double[0, 0.3], Gen.Bool).Sample((schedule, costs, latency, serialization, aside) =>
        {
            costs = For(costs, schedule.StageCount);
            var free = Run(1e9, 0);
            var dear = Run(5, serialization);
            Assert.True(free.Duration <= dear.Duration + 1e-9);
            Assert.True(Simulator.Run(schedule, new SimulationModel { Costs = costs }).Duration <= free.Duration + 1e-9);
            foreach (var rank in dear.Ranks)
                Assert.Equal(dear.Duration, rank.Busy + rank.Transfer + rank.Wait + rank.Bubble, Tolerance);

            SimulatedStep Run(double bytesPerSecond, double perByte) => Simulator.Run(schedule, new SimulationModel
            {
                Costs = costs,
                Links = LinkModel.OfNodes(
                    (schedule.RankCount + 1) / 2, 2, new RankLink(latency / 10, bytesPerSecond * 10, 0), new RankLink(latency, bytesPerSecond, 0),
                    [.. Enumerable.Repeat(1L, schedule.StageCount)]) with { SerializationPerByte = perByte, SerializesAside = aside },
            });
        });

    /// <summary>By hand: two ranks, one micro-batch, a message of 4 bytes at 8 bytes a unit, latency 0.25, 0.125 a byte to pack.</summary>
    [Fact]
    public void A_message_is_packed_waits_for_its_channel_travels_and_is_unpacked()
    {
        var schedule = ScheduleCatalog.Generate("gpipe", 2, 1);
        var model = new SimulationModel
        {
            Costs = ActionCosts.Uniform(2),
            Links = new LinkModel { Between = (_, _) => new RankLink(0.25, 8, 0), ChannelCount = 1, OutputBytes = [4, 4], SerializationPerByte = 0.125 },
        };
        // F 1, pack 0.5, travel 0.5 + 0.25, unpack 0.5, F 1, B 2, pack 0.5, travel 0.75, unpack 0.5, B 2.
        var step = Simulator.Run(schedule, model);
        Assert.Equal(9.5, step.Duration, Tolerance);
        Assert.Equal(new SimulatedRank(0, Busy: 3, Transfer: 1, Wait: 1.25, Bubble: 4.25), step.Ranks[0]);
        Assert.Equal(new SimulatedRank(1, Busy: 3, Transfer: 1, Wait: 1.25, Bubble: 4.25), step.Ranks[1]);
        Assert.Equal(9.5, Simulator.Run(schedule, model with { Links = model.Links! with { SerializesAside = true } }).Duration, Tolerance);
    }

    [Fact]
    public void What_leaves_a_node_at_once_takes_turns()
    {
        // Ranks 0 and 1 on one node send to ranks 2 and 3 on the other: stages 0 → 2 and 1 → 3 in a placement made for that.
        var schedule = new Schedule("own", ScheduleMode.Evaluate, 2, [0, 1, 0, 1], [
            [StageAction.Parse("0F0"), StageAction.Parse("0F1"), StageAction.Parse("2F0"), StageAction.Parse("2F1")],
            [StageAction.Parse("1F0"), StageAction.Parse("1F1"), StageAction.Parse("3F0"), StageAction.Parse("3F1")]]);
        var own = Run(2);
        var shared = Run(1);
        Assert.True(shared.Duration > own.Duration);

        SimulatedStep Run(int channels) => Simulator.Run(schedule, new SimulationModel
        {
            Costs = ActionCosts.Uniform(4, 1, 1),
            Links = new LinkModel { Between = (from, _) => new RankLink(0, 1, channels == 1 ? 0 : from), ChannelCount = channels, OutputBytes = [2, 2, 2, 2] },
        });
    }

    [Fact]
    public void A_straggler_and_a_slow_rank_lengthen_the_step_by_what_they_must()
    {
        var schedule = ScheduleCatalog.Generate("1f1b", 4, 8);
        var costs = ActionCosts.Uniform(4);
        var plain = Simulator.Run(schedule, new SimulationModel { Costs = costs }).Duration;
        var slow = Simulator.Run(schedule, new SimulationModel { Costs = costs, SpeedOfRank = [1, 0.5, 1, 1] });
        Assert.InRange(slow.Duration, 8 * 6, plain * 2);
        Assert.Equal(48, slow.Ranks[1].Busy, Tolerance);
        var late = Simulator.Run(schedule, new SimulationModel { Costs = costs, Slowdowns = [new Slowdown(1, 2, From: plain)] });
        Assert.Equal(plain, late.Duration, Tolerance);
        var always = Simulator.Run(schedule, new SimulationModel { Costs = costs, Slowdowns = [new Slowdown(1, 2)] });
        Assert.Equal(slow.Duration, always.Duration, Tolerance);
    }

    [Fact]
    public void A_reduction_begins_with_the_last_leaf_runs_aside_and_holds_up_the_norm()
    {
        var schedule = StepEndPass.Apply(ScheduleCatalog.Generate("1f1b", 2, 3), []);
        var costs = ActionCosts.Uniform(2).With(ActionKind.Optimizer, 1);
        var without = Simulator.Run(schedule, new SimulationModel { Costs = costs });
        var step = Simulator.Run(schedule, new SimulationModel { Costs = costs, Reductions = new RingReduction(4, [8, 8], 2, 0) });
        // 2 · 3/4 · 8 bytes at 2 a unit: 6 units; rank 1's has 2 of them hidden behind rank 0's last backward.
        Assert.Equal(without.Duration + 6, step.Duration, Tolerance);
        Assert.All(step.Reductions, reduction => Assert.Equal((reduction.LeavesMade, 6.0), (reduction.Start, reduction.End - reduction.Start)));
        Assert.Equal(0, new RingReduction(1, [8], 1, 1).Cost(0, 0));
    }

    [Fact]
    public void Topologies_cost_what_their_links_carry()
    {
        // 8 bytes at 2 a unit are 4 units.
        Assert.Equal(2 * (1 + 4 * 4.0), new StarReduction(4, [8], 2, 1).Cost(0, 0), Tolerance);
        Assert.Equal(2 * (1 + 3.0), new ShardedReduction(4, [8], 2, 1).Cost(0, 0), Tolerance);
        Assert.Equal(new RingReduction(2, [8], 2, 1).Cost(0, 0), new ShardedReduction(2, [8], 2, 1).Cost(0, 0), Tolerance);
        // Two machines of two: each leader hears one other over an inner link ten times as fast, and tells it the sum.
        Assert.Equal(2 * 0.4 + 2 * (1 + 2.0), new HierarchicalReduction(2, 2, [8], 20, 2, 1).Cost(0, 0), Tolerance);
        Assert.All(new IReductionModel[] { new StarReduction(1, [8], 2, 1), new ShardedReduction(1, [8], 2, 1), new HierarchicalReduction(1, 1, [8], 2, 2, 1) }, one => Assert.Equal(0, one.Cost(0, 0)));
    }

    /// <summary>ZB-H2 leaves no pause inside a rank, so that without a barrier a step takes no longer than its work; 1F1B keeps its own.</summary>
    [Fact]
    public void Without_a_barrier_the_shift_of_the_ranks_costs_nothing()
    {
        foreach (var (schedule, work) in ((Schedule, double)[])[
            (ZeroBubble.H2.Generate(new ScheduleShape(4, 12)), 36), (ScheduleCatalog.Generate("1f1b", 4, 12), 36 + 9)])
        {
            var ended = StepEndPass.Apply(schedule, []);
            var model = new SimulationModel { Costs = ActionCosts.Uniform(schedule.StageCount), WaitsForNorm = false };
            Assert.Equal(work, SteadySteps.Added(ended, _ => model, 3), Tolerance);
            Assert.True(Simulator.Run(ended, model with { WaitsForNorm = true }).Duration > work - 1e-9);
        }
    }

    [Fact]
    public void Memory_follows_the_order_of_actions()
    {
        var memory = new StageMemory(Static: 100, Kept: 10, Dropped: 1, Deferred: 4);
        Assert.Equal([120L, 110], Peaks(ScheduleCatalog.Generate("1f1b", 2, 4)));
        Assert.Equal([140L, 140], Peaks(ScheduleCatalog.Generate("gpipe", 2, 4)));
        // While in flight only the inputs stay; one micro-batch at a time is made again.
        Assert.Equal([113L, 113], Peaks(RecomputePass.Apply(ScheduleCatalog.Generate("gpipe", 2, 4), [0, 1])));
        // By hand, rank 1 of ZB-H1: F0, I0 leaves 4, F1 on top is 14, I1 leaves 8, W0.
        Assert.Equal([120L, 114], Peaks(ZeroBubble.H1.Generate(new ScheduleShape(2, 4))));

        long[] Peaks(Schedule schedule) => [.. MemoryUse.Of(schedule, [memory, memory]).Select(rank => rank.Total)];
    }

    [Fact]
    public void Peaks_of_equal_activations_are_the_in_flight_counts() =>
        ScheduleSamples.Training(5, 8).Sample(schedule =>
        {
            var memory = Enumerable.Repeat(new StageMemory(0, 1, 0, 1), schedule.StageCount).ToImmutableArray();
            Assert.Equal(ScheduleValidator.PeakInFlight(schedule).Select(peak => (long)peak), MemoryUse.Of(schedule, memory).Select(rank => rank.Activations));
        });

    [Fact]
    public void A_schedule_that_blocks_is_refused_and_so_is_a_model_of_another_size()
    {
        var crossed = new Schedule("crossed", ScheduleMode.Train, 1, [0, 1], [[StageAction.Parse("0B0"), StageAction.Parse("0F0")], [StageAction.Parse("1F0"), StageAction.Parse("1B0")]]);
        Assert.Throws<ScheduleException>(() => Simulator.Run(crossed, new SimulationModel { Costs = ActionCosts.Uniform(2) }));
        Assert.Throws<ScheduleException>(() => Simulator.Run(ScheduleCatalog.Generate("1f1b", 2, 2), new SimulationModel { Costs = ActionCosts.Uniform(3) }));
    }

    /// <summary>A smaller sibling of the largest size that is promised: interleaving, links, memory, all at once.</summary>
    [Fact]
    public void Sixty_four_ranks_and_two_hundred_and_fifty_six_micro_batches_take_the_time_of_the_closed_form()
    {
        var schedule = new Interleaved().Generate(new ScheduleShape(64, 256, 2));
        var step = Simulator.Run(schedule, new SimulationModel { Costs = ActionCosts.Uniform(128) });
        Assert.Equal(3.0 * ((256 * 2) + 63), step.Duration, Tolerance);
        Assert.Equal(4L * 256 * 64, step.ActionCount);
    }

    private static ActionCosts For(ActionCosts costs, int stageCount)
    {
        var ofStages = ActionCosts.PerStage(Of(ActionKind.Forward), Of(ActionKind.Backward), costs.HopLatency);
        foreach (var kind in Enum.GetValues<ActionKind>())
            ofStages = ofStages.With(kind, Of(kind));
        return ofStages;

        ImmutableArray<double> Of(ActionKind kind) => [.. Enumerable.Range(0, stageCount).Select(stage => costs.Of(new StageAction(stage, kind, 0)))];
    }
}
