using System.Collections.Immutable;
using Pipeline.Checkpoints;
using Pipeline.Cli.Execution;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Protocol;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Tests.Model;
using Pipeline.Training;
using TorchSharp;
using Xunit;

namespace Pipeline.Tests.Training;

[Collection(PipelineCollection.Name)]
public sealed class RunTests(PipelineFixture fixture) : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-run-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(2, 3)]
    [InlineData(4, 1)]
    [InlineData(1, 4)]
    public async Task A_run_resumed_in_the_middle_with_another_number_of_stages_has_the_same_bits(int before, int after)
    {
        var reference = TinyRun.Reference(3, true, Precision.Bf16, 8);
        var store = new FolderCheckpointStore(_folder);
        var first = TinyRun.Plan(before, 3, precision: Precision.Bf16, steps: 4) with { Checkpoints = Saving(store) };
        var (_, head) = await PipelineFixture.RunAsync(fixture.Plain, first);
        using (var latest = store.OpenLatest().Require()) Assert.Equal(4, latest.Step);
        var second = TinyRun.Plan(after, 3, precision: Precision.Bf16, steps: 8) with { Checkpoints = Saving(store), ResumeFromStep = 4, Schedule = "gpipe" };
        var (outcome, tail) = await PipelineFixture.RunAsync(fixture.Plain, second);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 8), outcome);
        TinyRun.AssertEqual(reference, head.Steps.Concat(tail.Steps));
    }

    [Fact]
    public async Task Checkpoints_come_at_their_interval_and_at_the_end_and_only_the_newest_are_kept()
    {
        var store = new FolderCheckpointStore(_folder);
        var plan = TinyRun.Plan(3, 2, steps: 7) with { Checkpoints = Saving(store) with { SaveEvery = 2, KeepCount = 2 } };
        var (_, notices) = await PipelineFixture.RunAsync(fixture.Serializing, plan);
        // Each is written beside the run: on a busy machine one may be whole before the one before it.
        Assert.Equal([2, 4, 6, 7], notices.All.OfType<RunNotice.CheckpointSaved>().Select(saved => saved.Step).Order());
        Assert.Equal([7, 6], store.List(verify: true).Where(summary => summary.State == CheckpointState.Complete).Select(summary => summary.Step));
        TinyRun.AssertEqual([.. TinyRun.Reference(2, true, Precision.Fp32, 7)], notices.Steps);
    }

    [Fact]
    public async Task A_failed_save_raises_an_alarm_and_the_run_goes_on_and_saves_again()
    {
        var store = new FolderCheckpointStore(_folder);
        var failing = new FailingStore(store, failures: 1);
        var saving = Saving(failing) with { SaveEvery = 2, Retry = new SaveRetry(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(1), 3) };
        var plan = TinyRun.Plan(2, 2, steps: 40) with { Checkpoints = saving };
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        Assert.Equal(RunEnd.Completed, outcome.End);
        Assert.Contains("disk is full", Assert.Single(notices.All.OfType<RunNotice.SaveFailed>()).Message, StringComparison.Ordinal);
        using var latest = store.OpenLatest().Require();
        Assert.Equal(40, latest.Step);
    }

    [Fact]
    public async Task A_store_that_hangs_costs_checkpoints_and_no_step_and_the_run_saves_again_once_it_answers()
    {
        const int Last = 30, Freed = 20;
        using ManualResetEventSlim answers = new();
        var store = new FolderCheckpointStore(_folder);
        var saving = Saving(new HangingStore(store, answers)) with { SaveEvery = 4, Patience = TimeSpan.Zero, Retry = new SaveRetry(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(20), 1000) };
        // Steps go on while the first save hangs: it is let go on by a step that comes long after those at which saves are due.
        NoticeList notices = new() { Then = notice => { if (notice is RunNotice.StepCommitted { Step.Step: Freed }) answers.Set(); } };
        var (outcome, _) = await PipelineFixture.RunAsync(fixture.Plain, TinyRun.Plan(2, 2, steps: Last) with { Checkpoints = saving }, notices);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Last), outcome);
        Assert.Contains(notices.All.OfType<RunNotice.SaveFailed>(), failed => failed.Step is > 4 and <= Freed && failed.Message.Contains("the store hangs, or is slower than checkpoints come", StringComparison.Ordinal));
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, Last), notices.Steps);
        using var latest = store.OpenLatest().Require();
        Assert.Equal(Last, latest.Step);
    }

    [Fact]
    public async Task A_manifest_whose_write_hangs_holds_no_other_up_and_the_run_saves_again_once_the_store_answers()
    {
        const int Last = 60, Latest = 52;
        using ManualResetEventSlim answers = new();
        var store = new FolderCheckpointStore(_folder);
        var hanging = new HangingStore(store, answers, inManifest: true);
        var saving = Saving(hanging) with { SaveEvery = 4, Patience = TimeSpan.Zero, Retry = new SaveRetry(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(20), 1000) };
        // The store answers once another manifest was refused for its sake; at the latest by a step that comes long after, so that the test ends.
        NoticeList notices = new() { Then = notice => { if (notice is RunNotice.SaveFailed failed && IsOfManifest(failed) || notice is RunNotice.StepCommitted { Step.Step: Latest }) answers.Set(); } };
        var (outcome, _) = await PipelineFixture.RunAsync(fixture.Plain, TinyRun.Plan(2, 2, steps: Last) with { Checkpoints = saving }, notices);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Last), outcome);
        Assert.Contains(notices.All.OfType<RunNotice.SaveFailed>(), IsOfManifest);
        using var latest = store.OpenLatest().Require();
        Assert.Equal(Last, latest.Step);

        static bool IsOfManifest(RunNotice.SaveFailed failed) => failed.Message.Contains("What the manifest has to wait for", StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_run_whose_last_save_fails_in_every_try_has_failed_and_keeps_the_checkpoint_before()
    {
        var store = new FolderCheckpointStore(_folder);
        var failing = new FailingStore(store, failures: int.MaxValue, fromStep: 5);
        var saving = Saving(failing) with { SaveEvery = 4, Retry = new SaveRetry(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(1), 3) };
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, TinyRun.Plan(2, 2) with { Checkpoints = saving });
        Assert.Equal(RunEnd.Failed, outcome.End);
        Assert.Contains("disk is full", outcome.Error, StringComparison.Ordinal);
        Assert.Equal(2, notices.All.OfType<RunNotice.SaveFailed>().Count());
        using var latest = store.OpenLatest().Require();
        Assert.Equal(4, latest.Step);
    }

    [Theory]
    [InlineData(1, 4)]
    [InlineData(2, 4)]
    [InlineData(3, 64)]
    public async Task A_stop_finishes_the_step_under_way_saves_and_says_where_it_stopped(int stageCount, int stepsAhead)
    {
        var store = new FolderCheckpointStore(_folder);
        using CancellationTokenSource stop = new();
        NoticeList notices = new() { Then = notice => { if (notice is RunNotice.StepCommitted { Step.Step: 5 }) stop.Cancel(); } };
        var plan = TinyRun.Plan(stageCount, 2, steps: 100_000) with { Checkpoints = Saving(store) with { SaveEvery = 7 }, EvaluateEvery = 3, StepsAhead = stepsAhead };
        var (outcome, _) = await PipelineFixture.RunAsync(fixture.Plain, plan, notices, stop: stop.Token);
        Assert.Equal(RunEnd.Stopped, outcome.End);
        Assert.Equal(outcome.Step, notices.Steps[^1].Step);
        TinyRun.AssertEqual([.. TinyRun.Reference(2, true, Precision.Fp32, 5)], notices.Steps.Take(5));
        using var latest = store.OpenLatest().Require();
        Assert.Equal(outcome.Step, latest.Step);
    }

    [Fact]
    public async Task An_exception_in_a_stage_ends_the_run_with_one_error_that_names_rank_stage_step_and_action()
    {
        var store = new FolderCheckpointStore(_folder);
        var plan = TinyRun.Plan(3, 2, steps: 9) with { Checkpoints = Saving(store) with { SaveEvery = 2 } };
        var units = plan.Units.ToArray();
        units[4] = new FaultyUnit(units[4], failingStep: 3);
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan with { Units = units });
        Assert.Equal(RunEnd.Failed, outcome.End);
        Assert.Equal("Rank 1, stage 1, step 3, action 1F1: deliberate fault", outcome.Error);
        Assert.Equal(StageFailureKind.Action, outcome.Failure?.Kind);
        Assert.Single(notices.All.OfType<RunNotice.StageFailed>());
        Assert.Contains(Assert.Single(notices.All.OfType<RunNotice.FlightGathered>()).Dump.Ranks, rank => rank.Doing.Contains("deliberate fault", StringComparison.Ordinal));
        using var latest = store.OpenLatest().Require();
        Assert.Equal(2, latest.Step);
    }

    [Fact]
    public async Task A_native_error_is_told_by_its_first_line_only()
    {
        var plan = TinyRun.Plan(2, 2);
        var units = plan.Units.ToArray();
        units[6] = new FaultyUnit(units[6], failingStep: 2, native: true);
        var (outcome, _) = await PipelineFixture.RunAsync(fixture.Plain, plan with { Units = units });
        Assert.Contains("cannot be multiplied", outcome.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("\n", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_checkpoint_of_another_model_is_refused_before_the_first_step_by_the_name_of_a_tensor()
    {
        var store = new FolderCheckpointStore(_folder);
        await PipelineFixture.RunAsync(fixture.Plain, TinyRun.Plan(2, 1, steps: 1) with { Checkpoints = Saving(store) });
        var other = TinyRun.Plan(2, 1, steps: 2) with
        {
            Units = DecoderTransformer.Units(TinyRun.Settings(tied: true) with { Width = 64 }),
            Checkpoints = Saving(store),
            ResumeFromStep = 1,
        };
        var (outcome, _) = await PipelineFixture.RunAsync(fixture.Plain, other);
        Assert.True(outcome.IsPreparationFailure);
        Assert.Contains("another model", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_observer_that_throws_ends_the_run_and_its_exception_comes_out()
    {
        NoticeList notices = new() { Then = notice => { if (notice is RunNotice.StepCommitted { Step.Step: 2 }) throw new InvalidOperationException("watched too closely"); } };
        var fault = await Assert.ThrowsAsync<InvalidOperationException>(() => PipelineFixture.RunAsync(fixture.Plain, TinyRun.Plan(2, 2, steps: 100_000), notices));
        Assert.Equal("watched too closely", fault.Message);
    }

    [Fact]
    public async Task Live_tensors_are_as_many_after_every_step()
    {
        var plan = TinyRun.Plan(1, 3, steps: 30) with { Recording = RecordingDuties.None };
        LiveTensors.Settle();
        var (_, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan);
        Assert.Single(notices.Steps.Select(step => step.Ranks[0].LiveTensorCount).Distinct());
    }

    [Fact]
    public async Task A_run_leaves_no_tensor_behind_whether_it_completes_or_fails()
    {
        var plan = TinyRun.Plan(3, 3);
        await PipelineFixture.RunAsync(fixture.Plain, plan);
        var before = LiveTensors.Settle();
        await PipelineFixture.RunAsync(fixture.Plain, plan);
        await PipelineFixture.RunAsync(fixture.Serializing, plan with { Links = TensorLinkKind.Frames });
        Assert.Equal(before, torch.Tensor.TotalCount);
        var units = plan.Units.ToArray();
        units[4] = new FaultyUnit(units[4], failingStep: 3);
        await PipelineFixture.RunAsync(fixture.Plain, plan with { Units = units });
        Assert.Equal(before, torch.Tensor.TotalCount);
    }

    [Fact]
    public async Task Traced_steps_show_every_action_of_the_schedule_once_and_in_its_order()
    {
        var plan = TinyRun.Plan(2, 4) with { Recording = new RecordingDuties(0, 2, 3) };
        TracedSteps traced = new();
        var (_, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan, new NoticeList { Then = traced.OnNotice });
        Assert.Equal([2, 3], traced.Steps);
        var schedule = RunLayout.For(plan).Schedule;
        var forwardsAndBackwards = notices.Steps[1].Ranks.Select(rank => rank.Spans.Where(span => !StageAction.Parse(span.Action).Kind.IsStepLevel()).Select(span => span.Action));
        Assert.Equal(schedule.Actions.Select(row => row.Where(action => !action.Kind.IsStepLevel()).Select(action => action.ToString())), forwardsAndBackwards);
        Assert.All(notices.Steps[1].Ranks.SelectMany(rank => rank.Spans), span => Assert.True(span.StartTicks <= span.EndTicks));
        var timeline = traced.ToTimeline("test", 2);
        Assert.Equal(2, timeline.Lanes.Count);
        Assert.Equal(8, timeline.Flows!.Count);
    }

    [Fact]
    public async Task Times_of_a_step_add_up()
    {
        var (_, notices) = await PipelineFixture.RunAsync(fixture.Plain, TinyRun.Plan(3, 4, steps: 10));
        Assert.All(notices.Steps, step =>
        {
            Assert.InRange(step.Bubble, 0, 1);
            Assert.All(step.Ranks, rank => Assert.True(rank.Timing.BusySeconds + rank.Timing.WaitSeconds <= rank.Timing.Seconds * 1.0001));
        });
    }

    [Theory]
    [InlineData("1f1b", OptimizerBarrier.On, 3, 1)]
    [InlineData("zb-h1", OptimizerBarrier.Off, 3, 1)]
    [InlineData("zb-h1", OptimizerBarrier.Off, 3, 0)]
    [InlineData("interleaved-1f1b", OptimizerBarrier.On, 2, 0)]
    public async Task Of_every_rank_of_a_run_busy_wait_and_the_rest_make_up_its_step_by_its_own_clock_and_by_its_spans(string schedule, OptimizerBarrier barrier, int stages, int digestEvery)
    {
        const long Steps = 8;
        var plan = TinyRun.Plan(stages, 4, steps: Steps) with { Schedule = schedule, Barrier = barrier, Recording = new RecordingDuties(digestEvery, 1, Steps) };
        TracedSteps traced = new();
        var (_, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan, new NoticeList { Then = traced.OnNotice });
        Assert.Equal(Steps, notices.Steps.Count);
        // A span is cut to the wire's 100 ns at both ends.
        const double Cut = 1e-7;
        foreach (var step in notices.Steps)
        {
            foreach (var (rank, stage) in step.Ranks.Zip(RunRecorder.MetricsOf(step).Stages))
            {
                Assert.Equal(rank.Timing.Seconds, stage.Seconds);
                Assert.True(stage.Idle >= -1e-9, $"step {step.Step}, rank {rank.Rank}: {stage.Busy} busy, {stage.Wait} waiting, of {stage.Seconds}");
                Assert.InRange((stage.Busy + stage.Wait + stage.Idle!.Value) / stage.Seconds!.Value, 0.99, 1.01);
                var spans = traced.Spans(step.Step).Where(span => span.Rank == rank.Rank).ToArray();
                Assert.InRange(stage.Busy - spans.Sum(span => span.Duration), -Cut * spans.Length, Cut * spans.Length);
                if (digestEvery == 0) AssertBetween(traced, step.Step, rank);
            }
        }

        var shares = new RunPrediction(RunLayout.For(plan), Profile(plan.Units.Count), 1).Shares(traced);
        foreach (var share in shares)
        {
            var clock = notices.Steps.Sum(step => step.Ranks[share.Rank].Timing.Seconds);
            Assert.InRange((share.Busy + share.Wait + share.Bubble) / clock, 0.99, 1.01);
            Assert.True(share is { Busy: > 0, Wait: >= 0 } && share.Bubble >= -1e-9, $"{share}");
        }

        // A step ends after its last action and before the next one's first: so its time lies between what their spans say, however busy the machine is.
        static void AssertBetween(TracedSteps traced, long step, RankSummary rank)
        {
            if (step is 1 or Steps) return;
            var (before, own, after) = (Of(step - 1), Of(step), Of(step + 1));
            Assert.InRange(rank.Timing.Seconds, own.Max(span => span.End) - own.Min(span => span.Start) - Cut, after.Min(span => span.Start) - before.Max(span => span.End) + Cut);

            ActionSpan[] Of(long one) => [.. traced.Spans(one).Where(span => span.Rank == rank.Rank)];
        }
    }

    private static ModelProfile Profile(int unitCount) => new()
    {
        Source = "equal units",
        IsMeasured = true,
        BySize = ImmutableSortedDictionary<int, ImmutableArray<UnitProfile>>.Empty.Add(1, [.. Enumerable.Range(0, unitCount).Select(index => new UnitProfile
        {
            Name = $"unit {index}", Forward = 1, Backward = 2, InputGradient = 1, WeightGradient = 1, Optimizer = 0, KeptBytes = 1, DeferredBytes = 1, OutputBytes = 1, StateBytes = 1, GradientBytes = 1,
        })]),
    };

    [Fact]
    public void A_plan_with_more_stages_than_units_is_refused()
    {
        var fault = Assert.Throws<ScheduleException>(() => RunLayout.For(TinyRun.Plan(9, 2)));
        Assert.Contains("8 units into 9 stages", fault.Message, StringComparison.Ordinal);
    }

    private static CheckpointPlan Saving(ICheckpointStore store) => new(store, Describe);

    internal static CheckpointDescription Describe(long step) => new()
    {
        Seed = (long)TinyRun.Seed,
        Model = new Dictionary<string, string>(StringComparer.Ordinal) { ["model.layers"] = "3" },
        TokenizerHash = new string('0', 32),
        Precision = "fp32",
        DataPosition = new DataPosition(step, step, step),
    };
}
