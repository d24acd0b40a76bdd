using System.Collections.Immutable;
using CsCheck;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class PlannerTests
{
    private static readonly Gen<ModelProfile> s_profiles = Gen.Select(Gen.Double[0.1, 2], Gen.Double[0.5, 1.5], Gen.Long[1, 50])
        .Select((forward, ratio, kept) => Unit(forward, forward * ratio, kept) with { SelectiveKeptBytes = kept / 2, SelectiveRecompute = forward / 5 }).Array[8, 14].Select(Profile);

    [Fact]
    public void The_choice_is_the_fastest_that_fits_and_its_prediction_is_that_of_its_own_schedule() =>
        Gen.Select(s_profiles, Gen.Int[1, 3], Gen.Long[200, 3_000]).Sample((profile, ranks, memory) =>
        {
            var request = Request(profile, ranks, memory);
            var plan = Planner.Find(request);
            var fitting = plan.Candidates.Where(candidate => candidate.Fits).ToArray();
            Assert.NotEmpty(plan.Explanation);
            Assert.Equal(fitting.Length > 0, plan.Choice is not null);
            if (plan.Choice is not { } choice)
                return;
            Assert.True(choice.StepTime <= fitting.Min(candidate => candidate.StepTime) * 1.005);
            foreach (var candidate in fitting)
            {
                Assert.Empty(ScheduleValidator.Validate(candidate.Schedule!));
                Assert.Equal(profile.UnitCount, candidate.Partition.Sum(range => range.Count));
                Assert.InRange(candidate.PeakBytes, 1, memory);
                Assert.Equal(8, candidate.MicroBatchCount * candidate.MicroBatchSize);
            }

            var stages = StageProfile.Of(profile.For(choice.MicroBatchSize), choice.Partition, recompute: choice.Recompute);
            var again = Simulator.Run(choice.Schedule!, new SimulationModel { Costs = stages.Costs, Memory = stages.Memory });
            Assert.Equal(choice.StepTime, again.Duration, 1e-9);
            Assert.Equal(choice.PeakBytes, again.Memory.Max(rank => rank.Total));
        }, iter: 30);

    [Fact]
    public void With_less_memory_a_plan_recomputes_or_holds_less_and_with_none_it_says_what_is_missing()
    {
        var profile = Profile([.. Enumerable.Repeat(Unit(1, 2, 100), 8)]);
        var rich = Planner.Find(Request(profile, 2, 1_000_000)).Choice!;
        var poor = Planner.Find(Request(profile, 2, rich.PeakBytes - 1)).Choice!;
        Assert.True(poor.PeakBytes < rich.PeakBytes);
        Assert.True(poor.StepTime >= rich.StepTime / 1.005);
        var none = Planner.Find(Request(profile, 2, 5));
        Assert.Null(none.Choice);
        Assert.Contains("fits", none.Explanation[0], StringComparison.Ordinal);
    }

    [Fact]
    public void Selective_recomputation_is_tried_where_units_can_drop_something_and_is_taken_where_it_is_enough()
    {
        var droppers = Profile([.. Enumerable.Repeat(Unit(1, 2, 100) with { SelectiveKeptBytes = 40, SelectiveRecompute = 0.1 }, 8)]);
        var request = Request(droppers, 2, 1_000_000) with { Kinds = [new OneForwardOneBackward()], VirtualStages = [1], MicroBatchSizes = [1] };
        var byPolicy = Planner.Find(request).Candidates.ToDictionary(candidate => candidate.Recompute.Everywhere!.Value);
        Assert.Equal(3, byPolicy.Count);
        Assert.InRange(byPolicy[RecomputePolicy.Selective].StepTime, byPolicy[RecomputePolicy.None].StepTime, byPolicy[RecomputePolicy.Full].StepTime);
        Assert.InRange(byPolicy[RecomputePolicy.Selective].PeakBytes, byPolicy[RecomputePolicy.Full].PeakBytes, byPolicy[RecomputePolicy.None].PeakBytes - 1);
        var room = new NodeCapacity(1, byPolicy[RecomputePolicy.Selective].PeakBytes);
        var tight = Planner.Find(request with { Ranks = [room, room] });
        Assert.Contains(tight.Candidates, candidate => candidate.Fits && candidate.Recompute.Everywhere is RecomputePolicy.Selective);
        Assert.False(tight.Choice!.Recompute.IsNone || tight.Choice.Recompute.Has(RecomputePolicy.Full));
        var keepers = Planner.Find(request with { Profile = Profile([.. Enumerable.Repeat(Unit(1, 2, 100), 8)]) });
        Assert.DoesNotContain(keepers.Candidates, candidate => candidate.Recompute.Has(RecomputePolicy.Selective));
    }

    [Theory]
    [InlineData("1f1b", 4, 1)]
    [InlineData("zb-h1", 3, 1)]
    [InlineData("interleaved-1f1b", 2, 2)]
    public void Where_the_fullest_rank_alone_must_recompute_only_its_first_units_do_and_no_fewer_would_fit(string kind, int ranks, int perRank)
    {
        var profile = Profile([.. Enumerable.Repeat(Unit(1, 2, 100) with { OutputBytes = 5 }, 16)]);
        var request = Request(profile, ranks, 1_000_000) with { Kinds = [ScheduleCatalog.Get(kind)], VirtualStages = [perRank], MicroBatchSizes = [1] };
        var none = Planner.Find(request with { Recomputes = [RecomputePolicy.None] }).Choice!;
        var plan = Planner.Find(request with { Ranks = [.. Enumerable.Repeat(new NodeCapacity(1, none.PeakBytes - 1), ranks)] });
        var choice = plan.Choice!;
        var everywhere = plan.Candidates.Single(candidate => candidate.Recompute.Everywhere is RecomputePolicy.Full);
        Assert.Null(choice.Recompute.Everywhere);
        Assert.Equal(16, choice.Recompute.UnitCount);
        Assert.True(choice.StepTime < everywhere.StepTime / 1.02, $"{choice.StepTime} against {everywhere.StepTime}");
        Assert.Contains(plan.Explanation, sentence => sentence.Contains($"{choice.Recompute} (pipeline.schedule.recompute)", StringComparison.Ordinal));

        // Stages none of whose units drop anything have no R, the others one for each micro-batch.
        var schedule = choice.Schedule!;
        Assert.Empty(ScheduleValidator.Validate(schedule));
        var recomputing = choice.Recompute.StagesOf(choice.Partition).ToArray();
        Assert.NotInRange(recomputing.Length, choice.Partition.Length, int.MaxValue);
        Assert.Equal(recomputing.SelectMany(stage => Enumerable.Repeat(stage, schedule.MicroBatchCount)), schedule.Actions.SelectMany(row => row).Where(action => action.Kind is ActionKind.Recompute).Select(action => action.Stage).Order());

        // Fewer would not do: of any rank that recomputes, without its last unit.
        var policies = Enumerable.Range(0, 16).Select(unit => choice.Recompute[unit]).ToArray();
        for (var rank = 0; rank < ranks; rank++)
        {
            var own = schedule.StagesOf(rank).SelectMany(stage => Enumerable.Range(choice.Partition[stage].Start, choice.Partition[stage].Count)).Where(unit => policies[unit] is RecomputePolicy.Full).ToArray();
            if (own.Length == 0) continue;
            var fewer = UnitRecompute.Of(policies.Select((policy, unit) => unit == own[^1] ? RecomputePolicy.None : policy));
            var memory = StageProfile.Of(profile.For(1), choice.Partition, recompute: fewer).Memory;
            Assert.NotNull(MemoryUse.FirstOver(schedule, rank, memory, none.PeakBytes - 1));
        }
    }

    [Fact]
    public void Several_stages_of_a_rank_are_cut_otherwise_where_equal_times_do_not_fit_its_memory()
    {
        // Stages of two units each would put all four heavy ones on rank 0.
        var profile = Profile([.. Enumerable.Range(0, 8).Select(unit => Unit(1, 2, 1) with { StateBytes = unit is 0 or 1 or 4 or 5 ? 100 : 1 })]);
        var request = Request(profile, 2, 1_000_000) with { Kinds = [new Interleaved()], VirtualStages = [2], MicroBatchSizes = [1] };
        request = request with { Recomputes = [RecomputePolicy.None] };
        var roomy = Planner.Find(request).Choice!;
        Assert.Equal([2, 2, 2, 2], roomy.Partition.Select(range => range.Count));
        var room = new NodeCapacity(1, roomy.PeakBytes - 100);
        var tight = Planner.Find(request with { Ranks = [room, room] }).Choice!;
        Assert.True(tight.PeakBytes <= room.MemoryBytes);
        Assert.True(tight.StepTime >= roomy.StepTime);
    }

    [Fact]
    public void Where_durations_differ_an_order_with_room_to_spare_is_chosen_over_one_in_lock_step()
    {
        var request = Request(Profile([.. Enumerable.Repeat(Unit(1, 2, 1), 8)]), 2, 1_000_000) with { SamplesPerStep = 4, MicroBatchSizes = [1], VirtualStages = [4], Kinds = [new Greedy()], Recomputes = [RecomputePolicy.None] };
        var exact = Planner.Find(request).Candidates;
        var uneven = Planner.Find(request with { Spread = 0.15 }).Candidates;
        Assert.Equal([null, 16], exact.Select(candidate => candidate.MemoryCredit).Order());
        Assert.All(uneven, candidate => Assert.True(candidate.UnevenTime > candidate.StepTime));
        Assert.True(Loss(uneven.Single(candidate => candidate.MemoryCredit == 16)) < Loss(uneven.Single(candidate => candidate.MemoryCredit is null)));
        Assert.Equal(16, uneven[0].MemoryCredit);

        static double Loss(PlanCandidate candidate) => candidate.UnevenTime!.Value / candidate.StepTime;
    }

    [Fact]
    public void Without_the_norm_s_barrier_a_split_schedule_is_held_by_the_time_that_a_step_adds()
    {
        var request = Request(Profile([.. Enumerable.Repeat(Unit(1, 2, 1), 8)]), 2, 1_000_000) with { MicroBatchSizes = [1], VirtualStages = [1] };
        var waiting = Planner.Find(request).Candidates.ToDictionary(Planner.Name);
        var free = Planner.Find(request with { WaitsForNorm = false }).Candidates.ToDictionary(Planner.Name);
        Assert.Equal(waiting["1f1b, 8 × 1 samples"].StepTime, free["1f1b, 8 × 1 samples"].StepTime);
        Assert.True(free["zb-h2, 8 × 1 samples"].StepTime < waiting["zb-h2, 8 × 1 samples"].StepTime);
        Assert.True(free["zb-h2, 8 × 1 samples"].BubbleShare < waiting["zb-h2, 8 × 1 samples"].BubbleShare);
    }

    [Fact]
    public void A_search_tells_how_far_it_has_come_and_finds_the_same_whoever_listens()
    {
        var request = Request(Profile([.. Enumerable.Range(0, 9).Select(unit => Unit(1 + (unit % 3), 2, 10))]), 2, 400) with { Spread = 0.1 };
        Heard heard = new();
        var told = Planner.Find(request, heard);
        Assert.Equal(Planner.Find(request).Candidates.Select(Outcome), told.Candidates.Select(Outcome));
        foreach (var phase in Enum.GetValues<PlanPhase>())
        {
            var reports = heard.All.Where(one => one.Phase == phase).ToArray();
            Assert.Equal(reports.Select(one => one.Done).Order(), reports.Select(one => one.Done));
            Assert.Equal(reports[0].Total, reports[^1].Done);
            Assert.Single(reports.Select(one => one.Total).Distinct());
        }

        // What recomputes by unit belongs to the combination that it was made of.
        var combinations = told.Candidates.Where(candidate => candidate.Recompute.Everywhere is not null).ToArray();
        Assert.Equal(combinations.Length, heard.All.First(one => one.Phase is PlanPhase.Simulating).Total);
        Assert.Equal(told.Candidates.Count(candidate => candidate.UnevenTime is not null), heard.All.First(one => one.Phase is PlanPhase.Comparing).Total);
        Assert.Superset(combinations.Select(Planner.Name).ToHashSet(), heard.All.Select(one => one.Subject).ToHashSet());

        static (string, double, double?, long, string?) Outcome(PlanCandidate candidate) => (Planner.Name(candidate), candidate.StepTime, candidate.UnevenTime, candidate.PeakBytes, candidate.Misfit);
    }

    [Fact]
    public void What_a_kind_refuses_is_said_as_it_was_said()
    {
        var request = Request(Profile([.. Enumerable.Repeat(Unit(1, 2, 1), 8)]), 2, 1_000_000) with { Kinds = [new OneForwardOneBackward(), new Refusing()] };
        Assert.Equal("Not this shape.", Assert.Throws<ScheduleException>(() => Planner.Find(request)).Message);
    }

    [Fact]
    public void A_faster_node_gets_more_units()
    {
        var profile = Profile([.. Enumerable.Repeat(Unit(1, 2, 1), 9)]);
        var request = Request(profile, 2, 1_000_000) with
        {
            Ranks = [new NodeCapacity(2, 1_000_000), new NodeCapacity(1, 1_000_000)],
            Kinds = [new OneForwardOneBackward()],
        };
        var choice = Planner.Find(request).Choice!;
        Assert.Equal([6, 3], choice.NodeOfRank[0] == 0 ? choice.Partition.Select(range => range.Count) : choice.Partition.Select(range => range.Count).Reverse());
    }

    [Fact]
    public void Where_nodes_were_measured_each_does_the_units_that_it_is_good_at_and_the_step_takes_what_they_say()
    {
        // One is quick with the first four units and slow with the others, the other the other way round: in all they are alike.
        var plain = Profile([.. Enumerable.Repeat(Unit(1, 2, 1), 8)]);
        ModelProfile early = Profile([.. Enumerable.Range(0, 8).Select(unit => unit < 4 ? Unit(1, 2, 1) : Unit(3, 6, 1))]), late = Profile([.. Enumerable.Range(0, 8).Select(unit => unit < 4 ? Unit(3, 6, 1) : Unit(1, 2, 1))]);
        var request = Request(plain, 2, 1_000_000) with
        {
            Ranks = [new NodeCapacity(0.5, 1_000_000) { Profile = late }, new NodeCapacity(0.5, 1_000_000) { Profile = early }],
            Kinds = [new GPipe()],
            MicroBatchSizes = [1],
            VirtualStages = [1],
            Recomputes = [RecomputePolicy.None],
        };
        var choice = Planner.Find(request).Choice!;
        Assert.Equal([1, 0], choice.NodeOfRank.Select(node => node));
        Assert.Equal([4, 4], choice.Partition.Select(range => range.Count));
        // As if both were of speed 1 and had only the units that they have.
        var alike = Planner.Find(request with { Ranks = [new NodeCapacity(1, 1_000_000), new NodeCapacity(1, 1_000_000)] }).Choice!;
        Assert.Equal(alike.StepTime, choice.StepTime, 9);
        Assert.Equal(alike.RankBusy[0], choice.RankBusy[0], 9);
        Assert.Equal(alike.RankBusy[1], choice.RankBusy[1], 9);
        Assert.All(choice.Units, unit => Assert.Equal(1, unit.Forward));
        // In the order given each does what it is bad at, unless it does little.
        var kept = Planner.Find(request with { KeepsOrder = true }).Choice!;
        Assert.True(kept.StepTime > 1.5 * choice.StepTime);
    }

    [Fact]
    public void Speeds_are_compared_for_a_size_that_was_measured_on_both_machines()
    {
        var here = Profile([Unit(1, 2, 10)]) with { BySize = Profile([Unit(1, 2, 10)]).BySize.Add(8, [Unit(4, 8, 80)]) };
        // Twice as slow with micro-batches of 8, where a sample takes less than with 1.
        var there = here with { BySize = Profile([Unit(1, 2, 10)]).BySize.Clear().Add(8, [Unit(8, 16, 80)]) };
        Assert.Equal(0.5, there.SpeedBeside(here, 1), 9);
        Assert.Equal(2, here.SpeedBeside(there, 1), 9);
        Assert.Equal(0.25, there.At(0.5).SpeedBeside(here, 8), 9);
    }

    [Fact]
    public void Where_all_is_made_again_only_inputs_are_reckoned_and_a_faster_node_still_gets_more_units()
    {
        // Six units: 60 of state, seven inputs of 25 and 180 of the micro-batch at work. An input for each unit would be 1,260.
        var request = Request(Profile([.. Enumerable.Repeat(Unit(1, 2, 30) with { OutputBytes = 25 }, 9)]), 2, 450) with
        {
            Ranks = [new NodeCapacity(2, 450), new NodeCapacity(1, 450)],
            Kinds = [new GPipe()],
            MicroBatchSizes = [1],
            VirtualStages = [1],
            Recomputes = [RecomputePolicy.Full],
        };
        var choice = Planner.Find(request).Choice!;
        Assert.Equal(PartitionMethod.Exact, choice.Method);
        Assert.Equal([6, 3], choice.NodeOfRank[0] == 0 ? choice.Partition.Select(range => range.Count) : choice.Partition.Select(range => range.Count).Reverse());
    }

    [Fact]
    public void Halves_that_wait_with_what_was_made_again_are_found_room_for_in_steps()
    {
        // The second copy of what is made again waits for its weight gradients: more than the bound of the exact search counts.
        var request = Request(Profile([.. Enumerable.Range(0, 8).Select(unit => Unit(1, 2, 40) with { DeferredBytes = 40, OutputBytes = 4, StateBytes = unit < 4 ? 1 : 60 })]), 2, 1_000_000) with
        {
            Kinds = [new GPipe(), ZeroBubble.H2],
            MicroBatchSizes = [1],
            VirtualStages = [1],
            Recomputes = [RecomputePolicy.Full],
        };
        var roomy = Planner.Find(request).Candidates.Single(candidate => candidate.Kind == "zb-h2");
        var room = new NodeCapacity(1, roomy.PeakBytes - 1);
        var tight = Planner.Find(request with { Ranks = [room, room] }).Candidates.Single(candidate => candidate.Kind == "zb-h2");
        Assert.True(tight.Fits);
        Assert.Equal((PartitionMethod.Exact, PartitionMethod.MemoryInSteps), (roomy.Method, tight.Method));
    }

    [Fact]
    public void What_is_not_exact_is_said_with_its_own_reason()
    {
        var request = Request(Profile([.. Enumerable.Repeat(Unit(1, 2, 1), 80)]), 2, 1_000_000) with { MicroBatchSizes = [1], Recomputes = [RecomputePolicy.None] };
        var several = Planner.Find(request with { Kinds = [new Interleaved()], VirtualStages = [2] });
        Assert.Equal(PartitionMethod.SeveralStages, several.Choice!.Method);
        Assert.Contains(several.Explanation, sentence => sentence.Contains("several stages a rank", StringComparison.Ordinal));
        var one = request with { Kinds = [new OneForwardOneBackward()], VirtualStages = [1] };
        Assert.DoesNotContain(Planner.Find(one).Explanation, sentence => sentence.Contains("not exactly", StringComparison.Ordinal));
        var many = Planner.Find(one with { Ranks = [.. Enumerable.Range(0, 20).Select(rank => new NodeCapacity(1 + (rank / 2 * 0.1), 1_000_000))] });
        Assert.Contains(many.Explanation, sentence => sentence.Contains("too many ways", StringComparison.Ordinal));
        Assert.DoesNotContain(many.Explanation, sentence => sentence.Contains("kinds, so", StringComparison.Ordinal));
    }

    [Fact]
    public void A_second_copy_of_the_weights_counts_where_a_schedule_may_be_taken_back()
    {
        var request = Request(Profile([.. Enumerable.Repeat(Unit(1, 2, 1), 8)]), 2, 1_000_000) with { MicroBatchSizes = [1], VirtualStages = [1], Recomputes = [RecomputePolicy.None] };
        var once = Planner.Find(request).Candidates.ToDictionary(candidate => (candidate.Kind, candidate.MemoryCredit), candidate => candidate.PeakBytes);
        var twice = Planner.Find(request with { HoldsWeightsTwice = schedule => schedule.UsesSplitBackward }).Candidates;
        foreach (var candidate in twice)
            Assert.Equal(candidate.Schedule!.UsesSplitBackward ? 4 * 3 : 0, candidate.PeakBytes - once[(candidate.Kind, candidate.MemoryCredit)]);
    }

    [Fact]
    public void Replicas_that_cannot_be_the_slowest_are_left_out_of_a_plan_and_its_time_is_that_of_the_slowest()
    {
        PlannedPipeline Of(int first, double left, double right, long memory, params Slowdown[] slow) =>
            new(first, [new NodeCapacity(left, memory), new NodeCapacity(right, 100_000)]) { Slowdowns = [.. slow] };

        ImmutableArray<PlannedPipeline> kinds = PlannedPipeline.Kinds([Of(0, 1, 1, 9), Of(1, 1, 1, 9), Of(2, 1, 0.5, 9), Of(3, 0.5, 1, 7), Of(4, 1, 1, 9, new Slowdown(0, 2))]);
        Assert.Equal([(0, 2), (2, 1), (3, 1), (4, 1)], kinds.Select(kind => (kind.FirstReplica, kind.ReplicaCount)));
        Assert.Equal([2, 3, 4], PlannedPipeline.Slowest(kinds).Select(kind => kind.FirstReplica));
        Assert.Equal([new NodeCapacity(0.5, 7), new NodeCapacity(0.5, 100_000)], PlannedPipeline.Least(kinds).Select(rank => rank));
        // Alike but for memory: one stands for both.
        Assert.Equal([0], PlannedPipeline.Slowest([Of(0, 1, 1, 9), Of(1, 1, 1, 5)]).Select(kind => kind.FirstReplica));

        var request = Request(Profile([.. Enumerable.Repeat(Unit(1, 2, 1), 8)]), 2, 1_000_000) with { MicroBatchSizes = [1], VirtualStages = [1], Kinds = [new GPipe()] };
        var all = Planner.Find(request with { Ranks = [new NodeCapacity(0.5, 1_000_000), new NodeCapacity(0.5, 1_000_000)], Pipelines = kinds }).Choice!;
        Assert.Equal(4, all.PipelineTimes.Length);
        Assert.Equal(all.PipelineTimes.Max(), all.StepTime);
        Assert.True(all.PipelineTimes[0] < all.StepTime / 1.5);
        Assert.NotEqual(0, all.SlowestPipeline);
    }

    [Fact]
    public void A_message_takes_the_way_between_the_devices_that_ranks_are_put_on()
    {
        // The faster device comes last in the list and takes the first stage or the last: its link is slow one way only.
        var request = Request(Profile([.. Enumerable.Repeat(Unit(1, 2, 4), 9)]), 2, 1_000_000) with
        {
            Ranks = [new NodeCapacity(1, 1_000_000), new NodeCapacity(2, 1_000_000)],
            Kinds = [new GPipe()],
            MicroBatchSizes = [1],
            VirtualStages = [1],
            Recomputes = [RecomputePolicy.None],
            Links = bytes => new LinkModel { ChannelCount = 2, OutputBytes = bytes, Between = (from, _) => new RankLink(from == 1 ? 100 : 0, double.PositiveInfinity, from) },
        };
        var (candidate, step) = PlanEvaluation.Of(request, new GPipe().Generate(new ScheduleShape(2, 8, 1)), 1, UnitRecompute.None);
        Assert.Equal(candidate.NodeOfRank[0] == 1 ? 100 : 0, step.Model.Links!.Between(0, 1).Latency);
        Assert.Equal(candidate.NodeOfRank[1] == 1 ? 100 : 0, step.Model.Links!.Between(1, 0).Latency);
    }

    [Fact]
    public void Sizes_that_do_not_divide_the_step_and_ranks_beyond_the_units_are_refused()
    {
        var profile = Profile([Unit(1, 2, 1), Unit(1, 2, 1)]);
        Assert.Throws<ScheduleException>(() => Planner.Find(Request(profile, 2, 1_000) with { MicroBatchSizes = [3] }));
        Assert.Throws<ScheduleException>(() => Planner.Find(Request(profile, 3, 1_000)));
    }

    [Fact]
    public void A_profile_scales_to_sizes_that_were_not_measured_and_keeps_those_that_were()
    {
        var profile = Profile([Unit(1, 2, 10)]) with { BySize = Profile([Unit(1, 2, 10)]).BySize.Add(4, [Unit(3, 6, 40)]) };
        Assert.Equal(3, profile.For(4)[0].Forward);
        Assert.Equal(6, profile.For(8)[0].Forward);
        Assert.Equal(80, profile.For(8)[0].KeptBytes);
        Assert.Equal(profile.For(1)[0].StateBytes, profile.For(8)[0].StateBytes);
    }

    private sealed class Heard : IProgress<PlanProgress>
    {
        public List<PlanProgress> All { get; } = [];

        public void Report(PlanProgress value) => All.Add(value);
    }

    private sealed class Refusing : IScheduleGenerator
    {
        public string Name => "refusing";

        public string Summary => "";

        public bool UsesSplitBackward => false;

        public StagesPerRank StagesPerRank => StagesPerRank.One;

        public Schedule Generate(ScheduleShape shape) => throw new ScheduleException("Not this shape.");

        public ScheduleLimits LimitsFor(ScheduleShape shape) => throw new NotSupportedException();
    }

    private static PlanRequest Request(ModelProfile profile, int ranks, long memory) => new()
    {
        Profile = profile,
        SamplesPerStep = 8,
        Ranks = [.. Enumerable.Repeat(new NodeCapacity(1, memory), ranks)],
        MicroBatchSizes = [1, 2],
        VirtualStages = [1, 2],
        Spread = 0,
    };

    private static ModelProfile Profile(UnitProfile[] units) => new()
    {
        Source = "made up",
        IsMeasured = false,
        BySize = ImmutableSortedDictionary<int, ImmutableArray<UnitProfile>>.Empty.Add(1, [.. units]),
    };

    private static UnitProfile Unit(double forward, double backward, long kept) => new()
    {
        Name = "unit",
        Forward = forward,
        Backward = backward,
        InputGradient = backward * 0.6,
        WeightGradient = backward * 0.4,
        Optimizer = 0.1,
        KeptBytes = kept,
        DeferredBytes = kept / 2,
        OutputBytes = kept / 4,
        StateBytes = 10,
        GradientBytes = 3,
    };
}
