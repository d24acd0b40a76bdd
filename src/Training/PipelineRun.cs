using System.IO.Hashing;
using System.Text;
using Akka.Actor;
using Akka.Configuration;
using Pipeline.Coordinator;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Protocol.Wire;
using Pipeline.Reduction.Topologies;
using Pipeline.Schedules;
using Pipeline.Stages;

namespace Pipeline.Training;

/// <summary>
/// Trains a plan in this process: the composition root of coordinator and stages, which do not know each other.
/// </summary>
public static class PipelineRun
{
    private static readonly Config Quiet = ConfigurationFactory.ParseString("""
        akka {
          loglevel = ERROR
          stdout-loglevel = ERROR
          log-dead-letters = off
          log-dead-letters-during-shutdown = off
          coordinated-shutdown.run-by-clr-shutdown-hook = off
        }
        """);

    /// <summary>Trains in an actor system of its own, which has ended when the task completes.</summary>
    /// <param name="plan">What to train.</param>
    /// <param name="observer">Told everything that happens; null for nobody.</param>
    /// <param name="stop">Asks the run to end after the step under way, saving first.</param>
    /// <returns>How the run ended; failures are outcomes, not exceptions.</returns>
    /// <exception cref="ScheduleException">The plan cannot be spread as asked.</exception>
    public static Task<RunOutcome> TrainAsync(TrainingPlan plan, IRunObserver? observer = null, CancellationToken stop = default) => TrainAsync(plan, observer, _ => { }, stop);

    /// <summary>Trains in an actor system of its own, and says who leads it.</summary>
    /// <param name="plan">What to train.</param>
    /// <param name="observer">Told everything that happens; null for nobody.</param>
    /// <param name="led">Told the run's coordinator, which takes an operator's requests.</param>
    /// <param name="stop">Asks the run to end after the step under way, saving first.</param>
    /// <exception cref="ScheduleException">The plan cannot be spread as asked.</exception>
    public static async Task<RunOutcome> TrainAsync(TrainingPlan plan, IRunObserver? observer, Action<IActorRef> led, CancellationToken stop = default)
    {
        var layout = RunLayout.For(plan);
        var system = ActorSystem.Create("pipeline", WireSetup.For(Quiet));
        try
        {
            return await TrainAsync(plan, layout, system, observer, stages: null, led, stop).ConfigureAwait(false);
        }
        finally
        {
            await system.Terminate().ConfigureAwait(false);
        }
    }

    /// <summary>Trains inside the caller's actor system, which goes on living.</summary>
    /// <param name="plan">What to train.</param>
    /// <param name="layout">How it is spread.</param>
    /// <param name="system">Made with <see cref="WireSetup.For"/>.</param>
    /// <param name="observer">Told everything that happens; null for nobody.</param>
    /// <param name="stages">Where the actors of the ranks are; null to make them here.</param>
    /// <param name="led">Told the run's coordinator; null for nobody.</param>
    /// <param name="stop">Asks the run to end after the step under way, saving first.</param>
    public static async Task<RunOutcome> TrainAsync(
        TrainingPlan plan,
        RunLayout layout,
        ActorSystem system,
        IRunObserver? observer = null,
        StageLocator? stages = null,
        Action<IActorRef>? led = null,
        CancellationToken stop = default)
    {
        TorchRuntime.Initialize();
        var stray = system.ActorOf(StrayTensors.Props());
        TaskCompletionSource<RunOutcome> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var run = Coordinated(plan, layout, stages ?? ((context, rank) => context.ActorOf(StageActor.Props(new PlanWorkload(plan)), $"stage-{rank}")));
        var coordinator = system.ActorOf(CoordinatorActor.Props(run, observer ?? new ObserverChain(), ended));
        led?.Invoke(coordinator);
        await using (stop.Register(() => coordinator.Tell(StopRun.Instance)).ConfigureAwait(false))
        {
            try
            {
                return await ended.Task.ConfigureAwait(false);
            }
            finally
            {
                await coordinator.WatchAsync(CancellationToken.None).ConfigureAwait(false);
                stray.Tell(new StrayTensors.Retire());
            }
        }
    }

    /// <summary>What the stages of this process compute with.</summary>
    public static IStageWorkloadFactory WorkloadOf(TrainingPlan plan) => new PlanWorkload(plan);

    /// <summary>Names a run on the wire.</summary>
    /// <param name="name">What tells it from others, such as its directory.</param>
    public static RunId IdOf(string name) => new(XxHash3.HashToUInt64(Encoding.UTF8.GetBytes(name)));

    /// <summary>What a coordinator must know of a plan.</summary>
    /// <param name="plan">What is trained.</param>
    /// <param name="layout">How it is spread.</param>
    /// <param name="stages">Where the actors of the ranks are; null for a run whose ranks are placed on nodes as they join.</param>
    /// <param name="tokensPerMicroBatch">Samples of a micro-batch times their length; 0 where no memory is to be estimated.</param>
    public static CoordinatedRun Coordinated(TrainingPlan plan, RunLayout layout, StageLocator? stages, long tokensPerMicroBatch = 0) => new()
    {
        Run = IdOf(plan.Name),
        Plan = new RunPlan
        {
            StartStep = plan.ResumeFromStep,
            EndStep = plan.Steps,
            EvaluateEvery = plan.EvaluateEvery,
            EvaluationMicroBatchCount = plan.EvaluationMicroBatchCount,
            Saves = plan.Checkpoints is not null,
            SaveEvery = plan.Checkpoints?.SaveEvery ?? 0,
            StepsAhead = plan.StepsAhead,
            Changes = plan.Changes,
            Clip = plan.Optimizer.Clip,
            NonFinite = plan.NonFinite,
            SkippedInRow = plan.SkippedInRow,
        },
        UnitCounts = layout.UnitCounts,
        Schedule = ScheduleText.Format(layout.Schedule),
        Others = layout.Others,
        RankCount = layout.RankCount,
        Links = plan.Links,
        Recording = plan.Recording,
        Stages = stages,
        Protection = plan.Protection,
        Rebalance = plan.Rebalance,
        RankBytes = BytesOf(plan, layout, tokensPerMicroBatch),
        Elastic = !plan.IsElastic || (layout.ReplicaCount == 1 && plan.MostReplicas is null or 1) || plan.StepsLocally ? null : new ElasticReplicas(
            (count, units) => RunLayout.For(plan, units, count) is { } other ? other.Division() with { RankBytes = BytesOf(plan, other, tokensPerMicroBatch) } : null,
            plan.Summation == Summation.Invariant,
            plan.SharesOptimizer || plan.Reduction.IsLossy)
        {
            Most = plan.MostReplicas,
            RankCounts = layout.Mesh.IsEven ? null : [.. layout.Replicas.Select(replica => replica.RankCount)],
            DivideAmong = counts => RunLayout.Among(plan, counts) is { } other ? other.Division() with { RankBytes = BytesOf(plan with { ReplicaCount = counts.Count }, other, tokensPerMicroBatch) } : null,
        },
        HasReducers = plan.Reduction.Topology == ReductionTopology.Coordinator && layout.ReplicaCount > 1,
        GroupsByMachine = plan.Reduction is { Topology: ReductionTopology.Hierarchical, GroupsByMachine: true },
        Trial = plan.ReplicaCount > 1 ? plan.Reduction.Trial : null,
        Compression = new CompressionScope(plan.Summation == Summation.Invariant, plan.Optimizer.FrozenAfter is not null),
        UnitNames = [.. plan.Units.Select(unit => unit.Name)],
        DivisionFor = layout.Mesh.IsEven ? (count, units) => RunLayout.For(plan, units, count)?.Division() : null,
        Repartition = layout.Mesh.IsEven ? (counts, seconds, room) => new MeasuredDivision(plan, layout, tokensPerMicroBatch).For(counts, seconds, room) : null,
        UsableMemoryShare = MemoryEstimate.UsableShare,
        PlannedNodes = plan.PlannedNodes,
        Keeper = plan.Checkpoints is { } saving ? new CheckpointKeeper(saving.Store, saving.Describe, saving.KeepCount, saving.Texts, saving.Patience) : null,
        Retry = plan.Checkpoints?.Retry ?? SaveRetry.Default,
    };

    private static IReadOnlyList<long> BytesOf(TrainingPlan plan, RunLayout layout, long tokensPerMicroBatch) =>
        tokensPerMicroBatch > 0 ? MemoryEstimate.Of(plan, layout, tokensPerMicroBatch, isSpread: true).RankBytes : [];
}
