using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class GeneratorTests
{
    public static TheoryData<string> Names => ["gpipe", "1f1b"];

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_shape_is_valid_with_mailboxes_of_one_message(string name)
    {
        var generator = ScheduleCatalog.Get(name);
        for (var ranks = 1; ranks <= 9; ranks++)
            for (var microBatches = 1; microBatches <= 20; microBatches++)
            {
                var shape = new ScheduleShape(ranks, microBatches);
                var limits = generator.LimitsFor(shape);
                Assert.Equal(1, limits.MailboxCapacity);
                var schedule = generator.Generate(shape);
                Assert.Empty(ScheduleValidator.Validate(schedule));
                Assert.Equal<int>(limits.InFlightPerRank, ScheduleValidator.PeakInFlight(schedule));
                Assert.Equal(1, ScheduleValidator.RequiredMailboxCapacity(schedule));
                Assert.Empty(ScheduleValidator.Validate(ScheduleSamples.Ended(schedule, 2)));
            }
    }

    [Fact]
    public void A_stage_of_1f1b_holds_at_most_p_minus_s_micro_batches_and_of_gpipe_all()
    {
        var shape = new ScheduleShape(4, 8);
        Assert.Equal<int>([4, 3, 2, 1], ScheduleValidator.PeakInFlight(ScheduleCatalog.Generate("1f1b", shape)));
        Assert.Equal<int>([8, 8, 8, 8], ScheduleValidator.PeakInFlight(ScheduleCatalog.Generate("gpipe", shape)));
        Assert.Equal<int>([2, 2, 2, 1], ScheduleValidator.PeakInFlight(ScheduleCatalog.Generate("1f1b", new ScheduleShape(4, 2))));
    }

    [Fact]
    public void What_is_in_flight_is_what_the_closed_forms_say()
    {
        for (var ranks = 1; ranks <= 16; ranks++)
            for (var microBatches = 1; microBatches <= 64; microBatches += microBatches < 20 ? 1 : 4)
            {
                var shape = new ScheduleShape(ranks, microBatches);
                Assert.Equal<int>(Enumerable.Range(0, ranks).Select(stage => Math.Min(ranks - stage, microBatches)), ScheduleValidator.PeakInFlight(ScheduleCatalog.Generate("1f1b", shape)));
                Assert.Equal<int>(Enumerable.Repeat(microBatches, ranks), ScheduleValidator.PeakInFlight(ScheduleCatalog.Generate("gpipe", shape)));
            }
    }

    [Fact]
    public void Golden_1f1b_of_four_ranks_and_eight_micro_batches() => Assert.Equal(
        """
        # schedule name=1f1b mode=train micro-batches=8 ranks-of-stages=0,1,2,3
        0F0,0F1,0F2,0F3,0B0,0F4,0B1,0F5,0B2,0F6,0B3,0F7,0B4,0B5,0B6,0B7
        1F0,1F1,1F2,1B0,1F3,1B1,1F4,1B2,1F5,1B3,1F6,1B4,1F7,1B5,1B6,1B7
        2F0,2F1,2B0,2F2,2B1,2F3,2B2,2F4,2B3,2F5,2B4,2F6,2B5,2F7,2B6,2B7
        3F0,3B0,3F1,3B1,3F2,3B2,3F3,3B3,3F4,3B4,3F5,3B5,3F6,3B6,3F7,3B7

        """,
        ScheduleCatalog.Generate("1f1b", new ScheduleShape(4, 8)).ToString());

    [Fact]
    public void Golden_gpipe_of_four_ranks_and_eight_micro_batches() => Assert.Equal(
        """
        # schedule name=gpipe mode=train micro-batches=8 ranks-of-stages=0,1,2,3
        0F0,0F1,0F2,0F3,0F4,0F5,0F6,0F7,0B0,0B1,0B2,0B3,0B4,0B5,0B6,0B7
        1F0,1F1,1F2,1F3,1F4,1F5,1F6,1F7,1B0,1B1,1B2,1B3,1B4,1B5,1B6,1B7
        2F0,2F1,2F2,2F3,2F4,2F5,2F6,2F7,2B0,2B1,2B2,2B3,2B4,2B5,2B6,2B7
        3F0,3F1,3F2,3F3,3F4,3F5,3F6,3F7,3B0,3B1,3B2,3B3,3B4,3B5,3B6,3B7

        """,
        ScheduleCatalog.Generate("gpipe", new ScheduleShape(4, 8)).ToString());

    [Fact]
    public void Evaluation_runs_every_forward_and_is_valid_in_any_placement()
    {
        for (var ranks = 1; ranks <= 5; ranks++)
            for (var microBatches = 1; microBatches <= 9; microBatches++)
            {
                Assert.Empty(ScheduleValidator.Validate(ForwardOnly.Generate(new ScheduleShape(ranks, microBatches))));
                Assert.Equal(1, ScheduleValidator.RequiredMailboxCapacity(ForwardOnly.Generate(new ScheduleShape(ranks, microBatches))));
                var looped = ForwardOnly.Generate(new ScheduleShape(ranks, microBatches, 3));
                Assert.Empty(ScheduleValidator.Validate(looped));
                Assert.InRange(ScheduleValidator.RequiredMailboxCapacity(looped), 1, ranks);
                int[] v = [.. Enumerable.Range(0, ranks), .. Enumerable.Range(0, ranks).Reverse()];
                Assert.Empty(ScheduleValidator.Validate(ForwardOnly.Generate([.. v], microBatches)));
            }
    }

    [Theory]
    [InlineData("1f1", "Did you mean 1f1b?")]
    [InlineData("GPipe", "Did you mean gpipe?")]
    [InlineData("chimera", "expected one of gpipe, 1f1b, interleaved-1f1b, looped-bfs, zb-h1, zb-h2, zb-v, v-half, v-min, dualpipe-v, greedy.")]
    public void An_unknown_name_is_refused_with_the_nearest(string name, string expected)
    {
        var error = Assert.Throws<ScheduleException>(() => ScheduleCatalog.Get(name));
        Assert.Contains($"There is no schedule '{name}'", error.Message, StringComparison.Ordinal);
        Assert.EndsWith(expected, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, 1, 1, "pipeline.parallelism.pipeline")]
    [InlineData(1, 0, 1, "pipeline.schedule.micro-batches")]
    [InlineData(1, 1, 0, "pipeline.schedule.virtual-stages")]
    public void A_size_below_one_is_refused_with_its_key(int ranks, int microBatches, int virtualStages, string key) =>
        Assert.Contains(key, Assert.Throws<ScheduleException>(() => new ScheduleShape(ranks, microBatches, virtualStages)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_kind_refuses_numbers_of_stages_per_rank_that_it_does_not_place()
    {
        foreach (var generator in ScheduleCatalog.All)
        {
            Assert.NotEqual(0, generator.Summary.Length);
            Assert.True(generator.StagesPerRank.Allows(generator.StagesPerRank.Default));
            foreach (var count in (int[])[1, 2, 3])
                if (!generator.StagesPerRank.Allows(count))
                    Assert.Contains("pipeline.schedule.virtual-stages", Assert.Throws<ScheduleException>(() => generator.Generate(new ScheduleShape(2, 2, count))).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Step_end_comes_as_tied_sums_norms_optimizers()
    {
        var schedule = StepEndPass.Apply(ScheduleCatalog.Generate("gpipe", new ScheduleShape(3, 1)), [2, 0]);
        Assert.Equal("0F0,0B0,0T,0N,0O", string.Join(',', schedule.Actions[0]));
        Assert.Equal("1F0,1B0,1N,1O", string.Join(',', schedule.Actions[1]));
        Assert.Equal("2F0,2B0,2T,2N,2O", string.Join(',', schedule.Actions[2]));
        Assert.Equal<int>([0, 2], schedule.TiedStages);
        var plain = ScheduleCatalog.Generate("gpipe", new ScheduleShape(3, 1));
        Assert.Throws<ScheduleException>(() => StepEndPass.Apply(plain, [1]));
        Assert.Throws<ScheduleException>(() => StepEndPass.Apply(plain, [0, 3]));
        Assert.Throws<InvalidOperationException>(() => StepEndPass.Apply(schedule, []));
    }
}
