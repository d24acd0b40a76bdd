using System.Collections.Concurrent;
using System.Diagnostics;
using Akka.Actor;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Protocol.Links;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Tests.Protocol.Links;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Training;

/// <summary>The trace of a step: the spans of all ranks, wherever they lie, belong to it, and say which followed from which.</summary>
[Collection(PipelineCollection.Name)]
public sealed class StepTraceTests(PipelineFixture fixture)
{
    [Fact]
    public void The_trace_of_a_step_has_one_name_everywhere_and_no_other_step_has_it()
    {
        RunId run = PipelineRun.IdOf("somewhere 1");
        Assert.Equal(StepTraces.TraceOf(run, 7), StepTraces.TraceOf(new RunId(run.Value), 7));
        Assert.Equal(300, Enumerable.Range(1, 100).SelectMany(step => new[] { run, new RunId(1), new RunId(2) }.Select(one => StepTraces.TraceOf(one, step))).Distinct().Count());
        var span = ActivitySpanId.CreateRandom();
        Assert.Equal(span, StepTraces.ContextOf(run, 7, StepTraces.NumberOf(span)).SpanId);
        Assert.Equal(default, StepTraces.ContextOf(run, 7, 0).SpanId);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Spans_of_ranks_in_processes_of_their_own_follow_from_those_that_sent_to_them(bool overSockets)
    {
        var plan = TinyRun.Plan(3, 4, steps: 3) with { Name = $"traced {overSockets}", Links = TensorLinkKind.Frames };
        var run = PipelineRun.IdOf(plan.Name);
        using SpanCollector spans = new(run);
        using RunMeter meter = new(TimeProvider.System, run);
        await RunAsync(plan, meter, overSockets);
        for (var step = 1L; step <= plan.Steps; step++)
        {
            var trace = spans.Of(step);
            var parts = trace.Where(span => span.OperationName == "rank").OrderBy(span => span.GetTagItem("pipeline.rank")).ToArray();
            Assert.Equal([0, 1, 2], parts.Select(part => part.GetTagItem("pipeline.rank")));
            var forwards = parts.Select(part => ActionOf(trace, part, "F")).ToArray();
            // The first rank begins by itself; each other one began with what the one before it sent.
            Assert.Equal(default, parts[0].ParentSpanId);
            Assert.Equal(forwards[0].SpanId, parts[1].ParentSpanId);
            Assert.Equal(forwards[1].SpanId, parts[2].ParentSpanId);
            Assert.Equal(forwards[0].SpanId, Assert.Single(forwards[1].Links).Context.SpanId);
            // A gradient comes back from the stage behind.
            var back = ActionOf(trace, parts[0], "B");
            Assert.Contains(back.Links, link => link.Context.SpanId == ActionOf(trace, parts[1], "B").SpanId && link.Context.TraceId == back.TraceId);
            // The squares of all ranks come together at the first one's optimizer, and what the step amounts to goes back from it.
            var optimizers = parts.Select(part => ActionOf(trace, part, "O")).ToArray();
            Assert.Equal([0, 1, 2], optimizers[0].Links.Select(link => parts.Single(part => part.SpanId == trace.Single(span => span.SpanId == link.Context.SpanId).ParentSpanId)).Select(part => part.GetTagItem("pipeline.rank")).Order());
            Assert.All(optimizers[1..], optimizer => Assert.Equal(optimizers[0].SpanId, Assert.Single(optimizer.Links).Context.SpanId));
            // All that a rank did lies in its part, and in its time.
            foreach (var action in trace.Where(span => span.GetTagItem("pipeline.action") is not null))
            {
                var part = Assert.Single(parts, part => part.SpanId == action.ParentSpanId);
                Assert.InRange(action.StartTimeUtc, part.StartTimeUtc, part.StartTimeUtc + part.Duration);
            }

            Assert.Equal(8, trace.Count(span => span.GetTagItem("pipeline.action") is string action && action[..2] is "1F" or "1B"));
            // Its being committed follows from what the first rank did.
            Assert.Equal(parts[0].SpanId, Assert.Single(trace, span => span.OperationName == "commit").ParentSpanId);
        }
    }

    [Fact]
    public async Task Where_steps_do_not_wait_for_their_totals_no_span_names_one_of_another_step()
    {
        // Nothing is clipped, so that nothing is begun in vain.
        var plan = TinyRun.Plan(2, 4, steps: 4) with
        {
            Name = "traced ahead",
            Links = TensorLinkKind.Frames,
            Barrier = OptimizerBarrier.Off,
            Optimizer = TinyRun.Optimizer with { Clip = 1e6 },
            ScheduleText = ScheduleText.Format(ScheduleCatalog.Generate("zb-h1", 2, 4)),
        };
        using SpanCollector spans = new(PipelineRun.IdOf(plan.Name));
        var (outcome, _) = await PipelineFixture.RunAsync(fixture.Serializing, plan);
        Assert.Equal(RunEnd.Completed, outcome.End);
        for (var step = 1L; step <= plan.Steps; step++)
        {
            var trace = spans.Of(step);
            var known = trace.Select(span => span.SpanId).ToHashSet();
            Assert.Equal(2, trace.Count(span => span.OperationName == "rank"));
            Assert.All(trace.SelectMany(span => span.Links), link => Assert.True(link.Context.TraceId == trace[0].TraceId && known.Contains(link.Context.SpanId)));
        }
    }

    [Fact]
    public async Task Replicas_and_what_is_computed_again_stay_in_the_steps_trace_and_no_bit_depends_on_who_listens()
    {
        var plan = TinyRun.Plan(2, 4, steps: 3) with { Name = "traced replicas", ReplicaCount = 2 };
        using SpanCollector spans = new(PipelineRun.IdOf(plan.Name));
        var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Serializing, plan);
        Assert.Equal(RunEnd.Completed, outcome.End);
        TinyRun.AssertEqual(TinyRun.Train(plan), notices.Steps);
        Assert.All([1L, 2L, 3L], step => Assert.Equal([0, 1, 2, 3], spans.Of(step).Where(span => span.OperationName == "rank").Select(span => span.GetTagItem("pipeline.rank")).Order()));
        // What one replica adds up came from the other.
        Assert.Contains(spans.Of(2), span => span.OperationName != "rank" && span.Links.Any(link => spans.Of(2).Any(sender => sender.SpanId == link.Context.SpanId && RankOf(sender) is var from && RankOf(span) / 2 != from / 2)));

        int RankOf(Activity span) => (int)(span.GetTagItem("pipeline.rank") ?? spans.Of(2).First(part => part.SpanId == span.ParentSpanId).GetTagItem("pipeline.rank"))!;
    }

    [Fact]
    public async Task Where_nobody_listens_nothing_is_made_and_nothing_travels()
    {
        var (_, notices) = await PipelineFixture.RunAsync(fixture.Serializing, TinyRun.Plan(2, 2) with { Links = TensorLinkKind.Frames });
        Assert.All(notices.Steps.SelectMany(step => step.Ranks), rank => Assert.Equal(0UL, rank.Span));
    }

    private async Task RunAsync(TrainingPlan plan, RunMeter meter, bool overSockets)
    {
        NoticeList notices = new() { Then = meter.OnNotice };
        LinkHub[] hubs = overSockets ? [.. Enumerable.Range(0, 3).Select(rank => LinkHub.Start(TestLinks.Options($"node-{rank}") with { HasUnix = true }, _ => { }))] : [];
        try
        {
            IReadOnlyList<string> addresses = [.. hubs.Select(hub => LinkAddressText.Of(hub.Address))];
            StageLocator? stages = overSockets ? (context, rank) => context.ActorOf(Props.Create(() => new Addressed(PipelineRun.WorkloadOf(plan), hubs[rank], addresses)), $"stage-{rank}") : null;
            var (outcome, _) = await PipelineFixture.RunAsync(overSockets ? fixture.Plain : fixture.Serializing, plan, notices, stages);
            Assert.Equal(new RunOutcome(RunEnd.Completed, plan.Steps), outcome);
            TinyRun.AssertEqual(TinyRun.Reference(4, true, Precision.Fp32, plan.Steps), notices.Steps);
        }
        finally
        {
            foreach (var hub in hubs) hub.Dispose();
        }
    }

    /// <summary>The first action of a kind in a rank's part.</summary>
    private static Activity ActionOf(IEnumerable<Activity> trace, Activity part, string kind) =>
        trace.Where(span => span.ParentSpanId == part.SpanId && span.GetTagItem("pipeline.action") is string action && action[1..].StartsWith(kind, StringComparison.Ordinal)).MinBy(span => span.StartTimeUtc)!;

    /// <summary>What a process's exporter would send of one run.</summary>
    private sealed class SpanCollector : IDisposable
    {
        private readonly ActivityListener _listener;
        private readonly ConcurrentQueue<Activity> _spans = new();
        private readonly RunId _run;

        internal SpanCollector(RunId run)
        {
            _run = run;
            _listener = new ActivityListener
            {
                ShouldListenTo = source => source.Name is StepTraces.RankSource or RunMeter.Name,
                Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
                ActivityStopped = _spans.Enqueue,
            };
            ActivitySource.AddActivityListener(_listener);
        }

        /// <summary>Those of a step's trace that came to something.</summary>
        internal Activity[] Of(long step)
        {
            var trace = StepTraces.TraceOf(_run, step);
            return [.. _spans.Where(span => span.TraceId == trace && span.Status != ActivityStatusCode.Error)];
        }

        public void Dispose() => _listener.Dispose();
    }

    /// <summary>Stands before a stage and puts the addresses of the hubs into its layout, as the coordinator of a cluster does.</summary>
    private sealed class Addressed : ReceiveActor
    {
        public Addressed(IStageWorkloadFactory factory, LinkHub hub, IReadOnlyList<string> addresses)
        {
            var stage = Context.ActorOf(StageActor.Props(factory, hub));
            Receive<StageProtocol.AssignStage>(assign => stage.Forward(assign with
            {
                Layout = assign.Layout with { Ranks = [.. assign.Layout.Ranks.Select((place, rank) => place with { LinkAddress = addresses[rank] })] },
            }));
            ReceiveAny(stage.Forward);
        }
    }
}
