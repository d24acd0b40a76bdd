using System.Globalization;
using Akka.Actor;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Reduction.Topologies;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>
/// A seeded adversary against whole clusters in one process. PIPELINE_FAULT_SEEDS=FROM-THROUGH runs other and more seeds than the few of
/// every test run, and <c>./pipeline.sh test --full</c> ten times as many; a failure names its seed.
/// </summary>
[Collection(PipelineCollection.Name)]
public sealed class NodeFaultTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-faults-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Nodes_lost_at_any_moment_leave_the_bits_as_they_are() => await ForSeedsAsync(10, seed => LoseNodesAsync(seed, losesCoordinator: false, default));

    [Fact]
    public async Task Lost_repeated_late_and_reordered_messages_leave_the_bits_as_they_are() =>
        await ForSeedsAsync(8, seed => LoseNodesAsync(seed, losesCoordinator: false, (0.02, 0.04, 0.15), victimCount: 0));

    [Fact]
    public async Task Lost_nodes_and_lost_messages_together_leave_the_bits_as_they_are() =>
        await ForSeedsAsync(6, seed => LoseNodesAsync(seed, losesCoordinator: false, (0.01, 0.03, 0.1)));

    [Fact]
    public async Task A_lost_coordinator_alone_or_with_a_stage_is_replaced_and_leaves_the_bits_as_they_are() =>
        await ForSeedsAsync(10, seed => LoseNodesAsync(seed, losesCoordinator: true, default));

    [Fact]
    public async Task Replicas_lost_at_any_moment_leave_the_bits_as_they_are() =>
        await ForSeedsAsync(4, seed => LoseNodesAsync(seed, losesCoordinator: false, default, replicaCount: 2));

    [Fact]
    public async Task Replicas_live_with_lost_messages_and_a_lost_coordinator() =>
        await ForSeedsAsync(4, seed => LoseNodesAsync(seed, losesCoordinator: seed % 2 == 0, seed % 2 == 0 ? default : (0.01, 0.03, 0.1), replicaCount: 2));

    [Fact]
    public async Task Replicas_that_step_by_themselves_come_back_with_weights_of_their_own() =>
        await ForSeedsAsync(4, seed => LoseNodesAsync(
            seed, losesCoordinator: seed % 2 == 0, default, replicaCount: 2, localSteps: 3, topology: seed % 4 < 2 ? ReductionTopology.Sharded : ReductionTopology.Coordinator));

    [Fact]
    public async Task Reducers_beside_the_replicas_are_lost_and_replaced_like_any_rank() =>
        await ForSeedsAsync(4, seed => LoseNodesAsync(seed, losesCoordinator: seed % 4 == 0, default, replicaCount: 2, topology: ReductionTopology.Coordinator));

    private async Task LoseNodesAsync(
        int seed, bool losesCoordinator, (double, double, double) faults, int victimCount = -1, int replicaCount = 1, ReductionTopology topology = ReductionTopology.Sharded, int localSteps = 1)
    {
        var chance = new Random(seed);
        var stageCount = chance.Next(1, replicaCount > 1 ? 3 : 5);
        var microBatchCount = chance.Next(1, 4) * replicaCount;
        var nodeCount = chance.Next(3, 7);
        const int Steps = 6;
        var store = new FolderCheckpointStore(Path.Combine(_folder, seed.ToString(CultureInfo.InvariantCulture)));
        var protection = chance.Next(4) switch
        {
            0 => ProtectionDuties.None,
            1 => new ProtectionDuties(ProtectionKind.Disk, chance.Next(1, 4), Path.Combine(_folder, $"{seed}-copies")),
            _ => new ProtectionDuties(ProtectionKind.Memory, chance.Next(1, 4), ""),
        };
        var plan = TinyRun.Plan(stageCount, microBatchCount, steps: Steps) with
        {
            ReplicaCount = replicaCount,
            Summation = replicaCount > 1 && chance.Next(2) == 0 ? Summation.Invariant : Summation.Fast,
            SharesOptimizer = replicaCount > 1 && chance.Next(2) == 0,
            Reduction = new ReductionSettings { BucketLength = 4000, Topology = topology },
            EvaluateEvery = 2,
            EvaluationMicroBatchCount = 2,
            // Several stages a rank mean several times the messages: where these are lost, and time has to pass, one stage is enough.
            Schedule = (chance.Next(4), faults == default) switch { (0, _) or (1, false) => "gpipe", (1, true) => "interleaved-1f1b", (2, true) => "zb-v", _ => "1f1b" },
            Protection = protection,
            StepsAhead = chance.Next(1, 5),
            Checkpoints = new CheckpointPlan(store, RunTests.Describe) { SaveEvery = 2, KeepCount = 2 },
        };
        plan = plan with { SharesGradients = plan.SharesOptimizer && topology == ReductionTopology.Sharded && seed % 2 == 0 };
        if (localSteps > 1) plan = plan with { Summation = Summation.Fast, SharesOptimizer = false, SharesGradients = false, Reduction = plan.Reduction with { Outer = new OuterStep(localSteps, 0.7, 0.9) } };
        using var cluster = new SimulatedCluster(seed, plan, nodeCount);
        cluster.Network.Faults = faults;
        var others = cluster.NodeNames.Where(node => node != "a").OrderBy(_ => chance.Next()).ToArray();
        // The coordinator's side must be able to go on: some node besides it stays.
        var victims = others.Take(victimCount >= 0 ? victimCount : Math.Min(chance.Next(losesCoordinator ? 0 : 1, 3), others.Length - (losesCoordinator ? 2 : 1))).ToList();
        if (losesCoordinator) victims.Insert(chance.Next(victims.Count + 1), "a");
        TaskCompletionSource<RunOutcome> coordinatorLost = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ScheduleLosses(cluster, chance, victims, coordinatorLost);
        var journal = new JournalInMemory();
        cluster.StartCoordinator("a", run => run with { Journal = journal });
        var outcome = await cluster.UntilAsync(await cluster.UntilAsync(Task.WhenAny(cluster.Ended, coordinatorLost.Task)));
        if (losesCoordinator && coordinatorLost.Task.IsCompleted) outcome = await TakeOverAsync(cluster, journal, store, victims);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), outcome);
        AssertRun(plan, store, cluster, isOneCoordinator: !losesCoordinator && faults == default);
    }

    /// <summary>Each victim dies at a message of its own of a kind chosen at random, or of any kind: at every point of a run in turn.</summary>
    internal static void ScheduleLosses(SimulatedCluster cluster, Random chance, List<string> victims, TaskCompletionSource<RunOutcome> coordinatorLost)
    {
        string[] kinds = ["", "", "TensorFrame", "StepTotals", "SquaredNorms", "StepCompleted", "CheckpointPartWritten", "SaveCheckpoint", "CopyChunk", "CopyReceived",
            "HeldOutEvaluated", "StageReady", "StageAssigned", "Regenerate", "HostStage", "FetchCopy", "GrantSteps", "NodeBeat"];
        var losses = victims.Select(victim => (Victim: victim, Kind: kinds[chance.Next(kinds.Length)], Count: chance.Next(1, 12), IsHeard: chance.Next(3) > 0)).ToArray();
        if (losses.Length == 2 && chance.Next(3) == 0) losses[1] = (losses[1].Victim, losses[0].Kind, losses[0].Count, losses[1].IsHeard);
        var seen = new int[losses.Length];
        cluster.Network.Seen = (from, to, message) =>
        {
            for (var index = 0; index < losses.Length; index++)
            {
                var (victim, kind, count, isHeard) = losses[index];
                if ((from != victim && to != victim) || (kind.Length > 0 && message.GetType().Name != kind) || Interlocked.Increment(ref seen[index]) != count) continue;
                cluster.Kill(victim, isHeard && victim != "a");
                if (victim == "a") coordinatorLost.TrySetResult(new RunOutcome(RunEnd.Failed, 0, "the coordinator was killed"));
            }
        };
    }

    internal static async Task<RunOutcome> TakeOverAsync(
        SimulatedCluster cluster, JournalInMemory journal, ICheckpointStore store, IReadOnlyList<string> victims, Func<CoordinatedRun, CoordinatedRun>? change = null)
    {
        await cluster.StopCoordinatorAsync();
        var recorded = cluster.Notices.Steps.Select(step => step.Step).DefaultIfEmpty(0).Max();
        var evaluated = cluster.Notices.All.OfType<RunNotice.Evaluated>().Select(notice => notice.AfterStep).DefaultIfEmpty(0).Max();
        var saved = store.List().Where(summary => summary.State == CheckpointState.Complete).Select(summary => summary.Step).DefaultIfEmpty(0).Max();
        var home = cluster.NodeNames.First(node => !victims.Contains(node));
        TaskCompletionSource<RunOutcome> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var skipped = cluster.Notices.Steps.Reverse().TakeWhile(step => double.IsNaN(step.Loss)).Count();
        var predecessor = journal.Last is { } entry ? new Predecessor(entry, recorded, evaluated, saved, skipped) : null;
        cluster.StartCoordinator(home, run => (change?.Invoke(run) ?? run) with { Journal = journal, Predecessor = predecessor }, ended, cluster.NodeNames.Where(node => node != "a"));
        cluster.Coordinator.Tell(new NodeLeft(cluster.Node("a").Id), ActorRefs.NoSender);
        return await cluster.UntilAsync(ended.Task);
    }

    internal static void AssertRun(TrainingPlan plan, FolderCheckpointStore store, SimulatedCluster cluster, bool isOneCoordinator)
    {
        var reference = plan.ReplicaCount == 1
            ? TinyRun.Reference(plan.Batches.MicroBatchCount, true, Precision.Fp32, plan.Steps)
            : plan.Reduction.Outer is not null ? NaiveLocalSteps.Train(plan)
            : TinyRun.Train(TinyRun.Plan(1, plan.Batches.MicroBatchCount, steps: plan.Steps) with { ReplicaCount = plan.ReplicaCount, Summation = plan.Summation, SharesGradients = plan.SharesGradients });
        // Each step is committed once and in order, with the reference's bits; a digest is whole or absent.
        TinyRun.AssertEqual(reference, cluster.Notices.Steps, allowsMissingDigests: !isOneCoordinator);
        // One generation commits each, and none that was replaced.
        Assert.Equal(cluster.Notices.Steps.Select(step => step.Generation).Order(), cluster.Notices.Steps.Select(step => step.Generation));
        var evaluations = cluster.Notices.All.OfType<RunNotice.Evaluated>().ToArray();
        if (isOneCoordinator) Assert.Equal(new[] { 2L, 4, 6 }.Except(SaidToBeLost(cluster)), evaluations.Select(evaluation => evaluation.AfterStep));
        else Assert.Empty(new[] { 2L, 4, 6 }.Except(evaluations.Select(evaluation => evaluation.AfterStep)).Except(SaidToBeLost(cluster)));
        Assert.All(evaluations, evaluation => Assert.Equal(
            BitConverter.DoubleToInt64Bits(reference[(int)evaluation.AfterStep - 1].ValidationLoss), BitConverter.DoubleToInt64Bits(evaluation.Loss)));
        Assert.Equal(plan.Steps, store.List(verify: true).First(summary => summary.State == CheckpointState.Complete).Step);
        TinyRun.AssertHolds(store, plan, reference[^1]);
        // Where nobody had to begin anew, what a node has computed it has computed once.
        var recoveries = cluster.Notices.All.OfType<RunNotice.Recovering>().ToArray();
        var replaced = recoveries.SelectMany(recovering => recovering.Ranks).Select(place => place.Rank).ToHashSet();
        var stagesPerRank = plan.Schedule is "zb-v" or "interleaved-1f1b" ? 2 : 1;
        Assert.All(cluster.Work.Where(work => !replaced.Contains(work.Key.Rank)), work => Assert.Equal(stagesPerRank, work.Value));
    }

    /// <summary>Evaluations whose result died with its rank and the leader.</summary>
    internal static IEnumerable<long> SaidToBeLost(SimulatedCluster cluster) => cluster.Notices.All.OfType<RunNotice.Warned>().Where(warned => warned.Kind == "evaluation-lost")
        .SelectMany(warned => warned.Message.Split(" was lost")[0].Split(" step ")[1].Split(", ").Select(step => long.Parse(step, CultureInfo.InvariantCulture)));

    internal static async Task ForSeedsAsync(int count, Func<int, Task> run)
    {
        var range = Environment.GetEnvironmentVariable("PIPELINE_FAULT_SEEDS")?.Split('-').Select(number => int.Parse(number, CultureInfo.InvariantCulture)).ToArray();
        if (Environment.GetEnvironmentVariable("PIPELINE_TESTS") == "full") count *= 10;
        for (var seed = range?[0] ?? 1; seed <= (range?[1] ?? count); seed++)
        {
            try
            {
                await run(seed);
            }
            catch (Exception fault)
            {
                throw new InvalidOperationException($"Seed {seed}: {fault.Message}", fault);
            }
        }
    }
}

/// <summary>A journal that outlives its coordinators; the highest generation holds it.</summary>
internal sealed class JournalInMemory : IRunJournal
{
    private readonly Lock _gate = new();
    private JournalEntry? _last;

    internal JournalEntry? Last
    {
        get
        {
            lock (_gate) return _last;
        }
    }

    public bool IsSuperseded => false;

    public void Record(JournalEntry entry)
    {
        lock (_gate)
        {
            if (_last is { } last && entry.Generation <= last.Generation) throw new JournalException($"Generation {last.Generation} leads the run.");
            _last = entry;
        }
    }
}
