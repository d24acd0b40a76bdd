using Akka.Actor;
using Akka.Configuration;
using Akka.TestKit.Xunit2;
using Pipeline.Protocol;
using Pipeline.Protocol.Wire;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Tests.Stages;

[Collection(PipelineCollection.Name)]
public sealed class StageActorTests() : TestKit(WireSetup.For(Quiet))
{
    private static readonly Config Quiet = ConfigurationFactory.ParseString("akka { loglevel = ERROR, stdout-loglevel = ERROR, test.single-expect-default = 60s }").WithFallback(DefaultConfig);
    private static readonly TrainingPlan Plan = TinyRun.Plan(1, 2);

    [Fact]
    public void A_stage_reports_ready_runs_what_is_granted_and_stops_when_told()
    {
        var stage = Sys.ActorOf(StageActor.Props(PipelineRun.WorkloadOf(Plan)));
        stage.Tell(Assignment(stage, Generation.First), TestActor);
        ExpectMsg<StageAssigned>();
        var ready = ExpectMsg<StageReady>();
        Assert.Equal(Plan.Units.SelectMany(unit => unit.Parameters).Where(spec => spec.TiedTo is null).Sum(spec => spec.ElementCount), ready.ParameterCount);
        stage.Tell(new GrantSteps(Generation.First, 2, 0, 0, 0), TestActor);
        Assert.Equal(1, ExpectMsg<StepCompleted>().Step);
        Assert.Equal(2, ExpectMsg<StepCompleted>().Step);
        stage.Tell(new StopStage(Generation.First), TestActor);
        ExpectMsg<StageStopped>();
    }

    [Fact]
    public void Commands_of_an_older_generation_are_refused()
    {
        var second = Generation.First.Next();
        var stage = Sys.ActorOf(StageActor.Props(PipelineRun.WorkloadOf(Plan)));
        stage.Tell(Assignment(stage, second), TestActor);
        ExpectMsg<StageAssigned>();
        ExpectMsg<StageReady>();
        stage.Tell(new GrantSteps(Generation.First, 2, 0, 0, 0), TestActor);
        stage.Tell(new StopStage(Generation.First), TestActor);
        stage.Tell(Assignment(stage, Generation.First), TestActor);
        stage.Tell(new GrantSteps(second, 1, 0, 0, 0), TestActor);
        Assert.Equal(second, ExpectMsg<StepCompleted>().Generation);
        stage.Tell(new StopStage(second), TestActor);
        ExpectMsg<StageStopped>();
    }

    [Fact]
    public void A_newer_assignment_takes_the_place_of_the_current_one()
    {
        var second = Generation.First.Next();
        var stage = Sys.ActorOf(StageActor.Props(PipelineRun.WorkloadOf(Plan)));
        stage.Tell(Assignment(stage, Generation.First), TestActor);
        ExpectMsg<StageAssigned>();
        ExpectMsg<StageReady>();
        stage.Tell(new GrantSteps(Generation.First, 1, 0, 0, 0), TestActor);
        var first = ExpectMsg<StepCompleted>();
        stage.Tell(Assignment(stage, second), TestActor);
        ExpectMsg<StageAssigned>();
        Assert.Equal(second, ExpectMsg<StageReady>().Generation);
        stage.Tell(new GrantSteps(second, 1, 0, 0, 0), TestActor);
        Assert.Equal(first.Digests, ExpectMsg<StepCompleted>().Digests);
        stage.Tell(new StopStage(second), TestActor);
        ExpectMsg<StageStopped>();
    }

    [Fact]
    public void Units_that_cannot_be_built_are_reported_as_a_failure_of_the_preparation()
    {
        var stage = Sys.ActorOf(StageActor.Props(new Unbuildable()));
        stage.Tell(Assignment(stage, Generation.First), TestActor);
        ExpectMsg<StageAssigned>();
        var failure = ExpectMsg<StageFailed>();
        Assert.Equal((StageFailureKind.Preparation, "No units here."), (failure.Kind, failure.Message));
        stage.Tell(new StopStage(Generation.First), TestActor);
        ExpectMsg<StageStopped>();
    }

    [Fact]
    public void A_schedule_that_cannot_be_read_is_reported_as_a_failure_of_the_preparation()
    {
        var stage = Sys.ActorOf(StageActor.Props(PipelineRun.WorkloadOf(Plan)));
        var assignment = Assignment(stage, Generation.First);
        var text = assignment.Layout.Schedule.Replace("0B1", "0X1", StringComparison.Ordinal);
        stage.Tell(assignment with { Layout = assignment.Layout with { Schedule = text } }, TestActor);
        ExpectMsg<StageAssigned>();
        Assert.Contains("0X1", ExpectMsg<StageFailed>().Message, StringComparison.Ordinal);
    }

    private static AssignStage Assignment(IActorRef stage, Generation generation)
    {
        var layout = RunLayout.For(Plan);
        var pipeline = new PipelineLayout(new RunId(1), generation, Generation.First, layout.UnitCounts, ScheduleText.Format(layout.Schedule),
            [new RankPlace(default, stage.Path.ToSerializationFormat(), "", null)], TensorLinkKind.Automatic, new StepCadence(2, 0, 1), ProtectionDuties.None, "");
        return new AssignStage(generation, 0, pipeline, StartingPoint.Initial, new RecordingDuties(1, 0, 0));
    }

    private sealed class Unbuildable : IStageWorkloadFactory
    {
        public StageWorkload Create(AssignStage assignment) => throw new ArgumentException("No units here.");
    }
}
