using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Model.Units;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Training;
using TorchSharp;
using Xunit;

namespace Pipeline.Tests.Training;

/// <summary>Steps that begin before the norm of the one before is known: the bits of the barrier, also where they have to be redone.</summary>
[Collection(PipelineCollection.Name)]
public sealed class BarrierTests(PipelineFixture fixture) : IDisposable
{
    private const double Always = 1e-3;
    private const double Sometimes = -1;
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-barrier-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    public static TheoryData<string, double, Precision, int> Cases
    {
        get
        {
            TheoryData<string, double, Precision, int> cases = [];
            var seed = 0;
            foreach (var schedule in new[] { "zb-h1", "zb-h2", "gpipe" })
            {
                foreach (var clip in new[] { 0, Always, Sometimes })
                {
                    foreach (var precision in new[] { Precision.Fp32, Precision.Bf16 })
                    {
                        for (var stageCount = 2; stageCount <= 4; stageCount++) cases.Add(schedule, clip, precision, 10 * ++seed + stageCount);
                    }
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Steps_without_a_barrier_have_the_bits_of_the_unsplit_model(string schedule, double clip, Precision precision, int seed)
    {
        var plan = Plan(schedule, seed % 10, 3, clip, precision, tied: seed / 10 % 2 == 0);
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan, stages: Disturbance.Of(plan, seed));
        Assert.Equal(new RunOutcome(RunEnd.Completed, 5), outcome);
        var reference = Unsplit(plan);
        TinyRun.AssertEqual(reference, notices.Steps);
        if (clip == 0) Assert.Equal(0, Discarded(notices));
        Assert.Equal(reference.Select(step => plan.Optimizer.Clips(step.Result.GradientNorm)), notices.Steps.Select(step => step.IsClipped));
        // What is begun anew is a step behind one that was clipped.
        Assert.All(notices.Steps.Zip(notices.Steps.Skip(1)).Where(pair => pair.Second.IsRedone), pair => Assert.True(pair.First.IsClipped));
        Assert.Equal(Discarded(notices) > 0, notices.Steps.Any(step => step.IsRedone));
        var clippedCount = reference.Count(step => plan.Optimizer.Clips(step.Result.GradientNorm));
        Assert.InRange(clippedCount, clip switch { 0 => 0, Always => 5, _ => 1 }, clip switch { 0 => 0, Always => 5, _ => 4 });
    }

    [Fact]
    public async Task With_every_step_clipped_work_is_thrown_away_and_the_measured_rate_brings_the_barrier_back()
    {
        var always = Plan("zb-h2", 3, 6, Always, Precision.Fp32, tied: false, steps: 30);
        var (_, thrown) = await PipelineFixture.RunAsync(fixture.Plain, always, stages: Disturbance.Of(always, 5));
        Assert.True(Discarded(thrown) > 0, "no action was begun on an assumption that failed");
        var measuring = always with { Barrier = OptimizerBarrier.Auto };
        var (_, measured) = await PipelineFixture.RunAsync(fixture.Plain, measuring, stages: Disturbance.Of(measuring, 5));
        Assert.Equal(0, Discarded(measured));
        var reference = Unsplit(always);
        TinyRun.AssertEqual(reference, thrown.Steps);
        TinyRun.AssertEqual(reference, measured.Steps);
    }

    [Fact]
    public async Task Evaluations_and_checkpoints_see_settled_steps()
    {
        var store = new FolderCheckpointStore(_folder);
        var plan = Plan("zb-h2", 3, 3, Sometimes, Precision.Bf16, tied: false, steps: 6) with
        {
            EvaluateEvery = 2, EvaluationMicroBatchCount = 2, Checkpoints = new CheckpointPlan(store, step => Description(step)) { SaveEvery = 3 },
        };
        var (_, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan, stages: Disturbance.Of(plan, 3));
        var reference = Unsplit(plan);
        TinyRun.AssertEqual(reference, notices.Steps);
        Assert.Equal(
            [.. new[] { 2, 4, 6 }.Select(step => BitConverter.DoubleToInt64Bits(reference[step - 1].ValidationLoss))],
            notices.All.OfType<RunNotice.Evaluated>().Select(evaluation => BitConverter.DoubleToInt64Bits(evaluation.Loss)));
        var tail = plan with { ResumeFromStep = 3, StageCount = 2, ScheduleText = null };
        var (_, resumed) = await PipelineFixture.RunAsync(fixture.Plain, tail);
        TinyRun.AssertEqual([.. reference.Skip(3)], resumed.Steps);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task A_stop_ends_all_ranks_with_the_same_step_though_some_had_begun_the_next(int seed)
    {
        using var stop = new CancellationTokenSource();
        var plan = Plan("zb-h2", 3, 4, Sometimes, Precision.Fp32, tied: false, steps: 100);
        var notices = new NoticeList { Then = notice => { if (notice is RunNotice.StepCommitted { Step.Step: 4 }) stop.Cancel(); } };
        var (outcome, _) = await PipelineFixture.RunAsync(fixture.Plain, plan, notices, Disturbance.Of(plan, seed), stop.Token);
        Assert.Equal(RunEnd.Stopped, outcome.End);
        Assert.InRange(outcome.Step, 4, 99);
        TinyRun.AssertEqual(Unsplit(plan with { Steps = outcome.Step }), notices.Steps);
    }

    [Theory]
    [InlineData("zb-h2", 3)]
    [InlineData("zb-h1", 2)]
    [InlineData("gpipe", 4)]
    public async Task A_step_that_is_not_finite_is_passed_over_though_others_had_begun_the_next(string schedule, int stageCount)
    {
        var plan = Plan(schedule, stageCount, 4, Sometimes, Precision.Bf16, tied: false, steps: 8);
        plan = plan with { Units = [.. plan.Units.SkipLast(1), new InfiniteUnit(plan.Units[^1], 1, 3, 6)] };
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan, stages: Disturbance.Of(plan, 1));
        Assert.Equal(new RunOutcome(RunEnd.Completed, 8), outcome);
        Assert.Equal([3, 6], notices.Steps.Where(step => double.IsNaN(step.Loss)).Select(step => step.Step));
        TinyRun.AssertEqual(Unsplit(plan), notices.Steps);
    }

    [Fact]
    public async Task What_throws_on_weights_that_are_taken_back_did_not_happen()
    {
        var plan = Plan("zb-h2", 2, 6, Always, Precision.Fp32, tied: false, steps: 30);
        var unit = new StrictUnit(plan.Units[0]);
        plan = plan with { Units = [unit, .. plan.Units.Skip(1)] };
        var reference = Unsplit(plan);
        unit.IsStrict = true;
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan, stages: Disturbance.Of(plan, 2));
        Assert.Equal(new RunOutcome(RunEnd.Completed, 30), outcome);
        TinyRun.AssertEqual(reference, notices.Steps);
    }

    private static TrainingPlan Plan(string schedule, int stageCount, int microBatchCount, double clip, Precision precision, bool tied, long steps = 5)
    {
        var plan = TinyRun.Plan(stageCount, microBatchCount, tied, precision, steps) with { Barrier = OptimizerBarrier.Off };
        IScheduleGenerator generator = schedule == "zb-h1" ? ZeroBubble.H1 : schedule == "zb-h2" ? ZeroBubble.H2 : new GPipe();
        plan = plan with
        {
            Optimizer = plan.Optimizer with { Clip = Math.Max(0, clip) },
            ScheduleText = ScheduleText.Format(generator.Generate(new ScheduleShape(stageCount, microBatchCount))),
        };
        return clip == Sometimes ? SometimesClipped(plan) : plan;
    }

    // The third largest of the first five norms without clipping: with it the first of them are clipped, and some are not.
    private static TrainingPlan SometimesClipped(TrainingPlan plan)
    {
        var norms = Unsplit(plan with { Steps = 5 }).Select(step => step.Result.GradientNorm).Order().ToArray();
        return plan with { Optimizer = plan.Optimizer with { Clip = norms[2] } };
    }

    private static IReadOnlyList<ReferenceStep> Unsplit(TrainingPlan plan) => TinyRun.Train(plan);

    private static long Discarded(NoticeList notices) => notices.Steps.Sum(step => step.Ranks.Sum(rank => (long)rank.Timing.DiscardedActions));

    private static CheckpointDescription Description(long step) => new()
    {
        Seed = (long)TinyRun.Seed,
        Model = new Dictionary<string, string>(StringComparer.Ordinal),
        TokenizerHash = new string('0', 32),
        Precision = "bf16",
        DataPosition = new DataPosition(step, step, step),
    };

    /// <summary>Notes one of its weights at each step; once told to, throws where it finds another.</summary>
    private sealed class StrictUnit(Unit inner) : Unit(inner.Name)
    {
        private readonly Dictionary<long, float> _seen = [];

        internal bool IsStrict { get; set; }

        public override IReadOnlyList<ParameterSpec> Parameters => inner.Parameters;

        public override double Cost => inner.Cost;

        public override torch.Tensor Forward(torch.Tensor input, UnitPass pass)
        {
            if (pass.Mode == PassMode.Train)
            {
                using var guard = torch.no_grad();
                var weight = pass.Parameter("tokens.weight")[0, 0].item<float>();
                if (!_seen.TryAdd(pass.MicroBatch.Step, weight) && IsStrict && _seen[pass.MicroBatch.Step] != weight)
                    throw new InvalidOperationException($"step {pass.MicroBatch.Step}: {weight} instead of {_seen[pass.MicroBatch.Step]}");
            }

            return inner.Forward(input, pass);
        }
    }
}
