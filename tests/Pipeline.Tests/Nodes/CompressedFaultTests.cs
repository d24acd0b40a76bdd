using System.Globalization;
using System.Security.Cryptography;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;
using Pipeline.Stages;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>
/// Two replicas that compress what they exchange, under a seeded adversary against whole clusters in one process. A lossy run has no unsplit equal:
/// the oracle is the same run that lost nobody, with everything that its last checkpoint holds, residuals among it.
/// </summary>
[Collection(PipelineCollection.Name)]
public sealed class CompressedFaultTests : IDisposable
{
    private const int Steps = 8;
    private const int ReplicaCount = 2;
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-compressed-").FullName;

    /// <summary>Kinds with residuals, of contribution and answer, and how they round.</summary>
    private static readonly (CompressionKind Kind, CompressionKind Answer, Rounding Rounding)[] s_kinds =
    [
        (CompressionKind.Int8, CompressionKind.Int8, Rounding.Nearest), (CompressionKind.TopK, CompressionKind.Int8, Rounding.Nearest), (CompressionKind.Int4, CompressionKind.Int4, Rounding.Stochastic),
        (CompressionKind.PowerSgd, CompressionKind.PowerSgd, Rounding.Nearest), (CompressionKind.OneBit, CompressionKind.OneBit, Rounding.Nearest), (CompressionKind.TopK, CompressionKind.TopK, Rounding.Nearest),
        (CompressionKind.BFloat16, CompressionKind.None, Rounding.Nearest), (CompressionKind.Int4, CompressionKind.BFloat16, Rounding.Nearest),
    ];

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Compressed_replicas_lost_at_any_moment_go_on_with_what_compression_had_lost() =>
        await NodeFaultTests.ForSeedsAsync(8, seed => LoseNodesAsync(seed, losesCoordinator: false));

    [Fact]
    public async Task Compressed_replicas_outlive_a_lost_coordinator_with_the_same_bits() =>
        await NodeFaultTests.ForSeedsAsync(4, seed => LoseNodesAsync(seed, losesCoordinator: true));

    [Fact]
    public async Task Compressed_outer_steps_of_lost_replicas_have_the_same_bits() =>
        await NodeFaultTests.ForSeedsAsync(4, seed => LoseNodesAsync(seed, losesCoordinator: false, localSteps: 3));

    private async Task LoseNodesAsync(int seed, bool losesCoordinator, int localSteps = 1)
    {
        var chance = new Random(seed);
        var plan = Plan(seed, chance, localSteps);
        var nodeCount = chance.Next(3, 6);
        var expected = await UninterruptedAsync(seed, plan, nodeCount);
        var store = new FolderCheckpointStore(Path.Combine(_folder, $"lost-{seed}-{localSteps}"));
        plan = plan with { Checkpoints = plan.Checkpoints! with { Store = store } };
        using var cluster = new SimulatedCluster(seed, plan, nodeCount);
        List<string> victims = [.. cluster.NodeNames.Where(node => node != "a").OrderBy(_ => chance.Next()).Take(losesCoordinator ? chance.Next(0, nodeCount - 2) : chance.Next(1, nodeCount - 1))];
        if (losesCoordinator) victims.Insert(chance.Next(victims.Count + 1), "a");
        TaskCompletionSource<RunOutcome> coordinatorLost = new(TaskCreationOptions.RunContinuationsAsynchronously);
        NodeFaultTests.ScheduleLosses(cluster, chance, victims, coordinatorLost);
        var journal = new JournalInMemory();
        cluster.StartCoordinator("a", run => run with { Journal = journal });
        var outcome = await cluster.UntilAsync(await cluster.UntilAsync(Task.WhenAny(cluster.Ended, coordinatorLost.Task)));
        if (coordinatorLost.Task.IsCompleted) outcome = await NodeFaultTests.TakeOverAsync(cluster, journal, store, victims);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), outcome);
        AssertEqual(expected, Evidence.Of(cluster, store), takesOver: coordinatorLost.Task.IsCompleted);
    }

    private TrainingPlan Plan(int seed, Random chance, int localSteps)
    {
        var (kind, answer, rounding) = s_kinds[seed % s_kinds.Length];
        var topology = localSteps > 1 ? ReductionTopology.Sharded : (ReductionTopology)chance.Next(3);
        var sharesOptimizer = localSteps == 1 && chance.Next(2) == 0;
        var warmup = chance.Next(0, 3);
        var protection = chance.Next(4) switch
        {
            0 => ProtectionDuties.None,
            1 => new ProtectionDuties(ProtectionKind.Disk, chance.Next(1, 4), Path.Combine(_folder, $"{seed}-{localSteps}-copies")),
            _ => new ProtectionDuties(ProtectionKind.Memory, chance.Next(1, 4), ""),
        };
        var precision = chance.Next(2) == 0 ? Precision.Bf16 : Precision.Fp32;
        return TinyRun.Plan(chance.Next(1, 3), ReplicaCount * chance.Next(1, 3), precision: precision, steps: Steps) with
        {
            ReplicaCount = ReplicaCount,
            Optimizer = kind == CompressionKind.OneBit && localSteps == 1 ? TinyRun.Optimizer with { FrozenAfter = warmup + 1 } : TinyRun.Optimizer,
            SharesOptimizer = sharesOptimizer,
            SharesGradients = sharesOptimizer && topology == ReductionTopology.Sharded && chance.Next(2) == 0,
            Reduction = new ReductionSettings
            {
                Topology = topology,
                BucketLength = 4000,
                PieceLength = 2048,
                GroupSize = 2,
                Contributions = Of(kind),
                Answers = Of(answer),
                Outer = localSteps > 1 ? new OuterStep(localSteps, 0.7, 0.9) : null,
            },
            EvaluateEvery = 2,
            EvaluationMicroBatchCount = 2,
            Schedule = chance.Next(2) == 0 ? "gpipe" : "1f1b",
            Protection = protection,
            StepsAhead = chance.Next(1, 5),
            Checkpoints = new CheckpointPlan(new FolderCheckpointStore(Path.Combine(_folder, $"whole-{seed}-{localSteps}")), RunTests.Describe) { SaveEvery = 2, KeepCount = 2 },
        };

        CompressionSettings Of(CompressionKind of) => new() { Kind = of, Rounding = rounding, WarmupSteps = of == CompressionKind.None ? 0 : warmup, Share = 0.05 };
    }

    private static async Task<Evidence> UninterruptedAsync(int seed, TrainingPlan plan, int nodeCount)
    {
        using var cluster = new SimulatedCluster(seed, plan, nodeCount);
        cluster.StartCoordinator("a");
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await cluster.UntilAsync(cluster.Ended));
        var evidence = Evidence.Of(cluster, plan.Checkpoints!.Store);
        Assert.Equal(Steps, evidence.Steps.Count);
        Assert.Contains(evidence.Checkpoint.Keys, name => name.StartsWith(ResidualStore.NameOf("unit-"), StringComparison.Ordinal));
        return evidence;
    }

    private static void AssertEqual(Evidence expected, Evidence actual, bool takesOver)
    {
        Assert.Equal(expected.Steps, actual.Steps);
        foreach (var (step, digests) in actual.Digests) Assert.Equal(expected.Digests[step], digests);
        // Who takes over hears again of what its predecessor may not have told; what died with its rank and its leader is said to be lost.
        Assert.Equal(
            expected.Evaluations.Where(evaluation => !actual.LostEvaluations.Contains(evaluation.AfterStep)), takesOver ? [.. actual.Evaluations.Distinct().OrderBy(evaluation => evaluation.AfterStep)] : actual.Evaluations);
        Assert.Equal(expected.Checkpoint, actual.Checkpoint);
    }

    /// <summary>What a run leaves: the bits of each committed step, in their order, those of its evaluations, and a hash of each tensor of its last checkpoint.</summary>
    private sealed record Evidence(
        IReadOnlyList<(long Step, long Loss, long Norm, long Tokens)> Steps, IReadOnlyDictionary<long, string> Digests, IReadOnlyList<(long AfterStep, long Loss)> Evaluations, SortedDictionary<string, string> Checkpoint)
    {
        internal IReadOnlyList<long> LostEvaluations { get; init; } = [];

        internal static Evidence Of(SimulatedCluster cluster, ICheckpointStore store)
        {
            var steps = cluster.Notices.Steps;
            return new Evidence(
                [.. steps.Select(step => (step.Step, BitConverter.DoubleToInt64Bits(step.Loss), BitConverter.DoubleToInt64Bits(step.GradientNorm), step.TokenCount))],
                steps.Where(step => step.Digests.Count > 0).ToDictionary(step => step.Step, step => string.Join(' ', step.Digests)),
                [.. cluster.Notices.All.OfType<RunNotice.Evaluated>().Select(evaluated => (evaluated.AfterStep, BitConverter.DoubleToInt64Bits(evaluated.Loss)))],
                ContentOf(store)) { LostEvaluations = [.. NodeFaultTests.SaidToBeLost(cluster)] };
        }

        private static SortedDictionary<string, string> ContentOf(ICheckpointStore store)
        {
            using var checkpoint = store.OpenLatest().Require();
            SortedDictionary<string, string> content = new(StringComparer.Ordinal) { ["step"] = checkpoint.Step.ToString(CultureInfo.InvariantCulture) };
            foreach (var name in checkpoint.Tensors.Keys)
            {
                var bytes = new byte[checkpoint.ByteCount(name)];
                checkpoint.ReadInto(name, 0, bytes);
                content.Add(name, Convert.ToHexString(SHA256.HashData(bytes)));
            }

            return content;
        }
    }
}
