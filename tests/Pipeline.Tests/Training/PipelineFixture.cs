using Akka.Actor;
using Akka.Configuration;
using Pipeline.Coordinator;
using Pipeline.Protocol.Wire;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Training;

/// <summary>
/// Two actor systems that the tests of this folder share: one as runs have it, and one in which every message between actors goes
/// through its serializer. The folder's tests run one after the other, since live tensors are counted process-wide.
/// </summary>
public sealed class PipelineFixture : IDisposable
{
    private static readonly Config Quiet = ConfigurationFactory.ParseString("akka { loglevel = ERROR, stdout-loglevel = ERROR, log-dead-letters = off }");
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    public ActorSystem Plain { get; } = ActorSystem.Create("plain", WireSetup.For(Quiet));

    public ActorSystem Serializing { get; } = ActorSystem.Create("serializing", WireSetup.For(Quiet.WithFallback(WireSetup.SerializeEverything)));

    public void Dispose()
    {
        Plain.Terminate().Wait(Patience);
        Serializing.Terminate().Wait(Patience);
    }

    /// <summary>The steps of a run, which must complete, in the plain system.</summary>
    internal async Task<IReadOnlyList<StepSummary>> StepsOf(TrainingPlan plan)
    {
        var (outcome, notices) = await RunAsync(Plain, plan);
        Assert.Equal(new RunOutcome(RunEnd.Completed, plan.Steps), outcome);
        return notices.Steps;
    }

    internal static async Task<(RunOutcome Outcome, NoticeList Notices)> RunAsync(
        ActorSystem system, TrainingPlan plan, NoticeList? notices = null, StageLocator? stages = null, CancellationToken stop = default)
    {
        notices ??= new NoticeList();
        var outcome = await PipelineRun.TrainAsync(plan, RunLayout.For(plan), system, notices, stages, stop: stop).WaitAsync(Patience, CancellationToken.None);
        return (outcome, notices);
    }
}

[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class PipelineCollection : ICollectionFixture<PipelineFixture>
{
    public const string Name = "pipeline";
}
