using System.Collections.Concurrent;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Tests.Runs;
using Pipeline.Training;
using TorchSharp;
using Xunit;

namespace Pipeline.Tests.Training;

/// <summary>Replicas that share the optimizer's state out, so that weights go back to them and not sums.</summary>
[Collection(PipelineCollection.Name)]
public sealed class SharedOptimizerTests(PipelineFixture fixture)
{
    private const int MicroBatchCount = 12;

    private static readonly ConcurrentDictionary<(int, Summation, bool, Precision), IReadOnlyList<ReferenceStep>> s_references = new();

    public static TheoryData<int, int, Summation, ReductionTopology> Shapes
    {
        get
        {
            TheoryData<int, int, Summation, ReductionTopology> shapes = [];
            foreach (var replicaCount in new[] { 2, 3, 4 })
            {
                foreach (var stageCount in new[] { 1, 2 })
                {
                    foreach (var summation in Enum.GetValues<Summation>())
                    {
                        foreach (var topology in Enum.GetValues<ReductionTopology>()) shapes.Add(replicaCount, stageCount, summation, topology);
                    }
                }
            }

            return shapes;
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task No_bit_depends_on_it_in_any_topology(int replicaCount, int stageCount, Summation summation, ReductionTopology topology)
    {
        foreach (var (tied, precision) in new[] { (true, Precision.Fp32), (false, Precision.Bf16), (true, Precision.Bf16) })
            TinyRun.AssertEqual(Reference(replicaCount, summation, tied, precision), await fixture.StepsOf(Plan(replicaCount, stageCount, topology, tied, precision) with { Summation = summation }));
    }

    [Theory]
    [InlineData("0,2;1,3", false)]
    [InlineData("1,3;0;2", true)]
    [InlineData("0-2;3", true)]
    public async Task Groups_that_are_no_subtrees_change_no_bit_with_it_or_without(string groups, bool sharesOptimizer)
    {
        foreach (var summation in Enum.GetValues<Summation>())
        {
            var plan = Plan(4, 2, ReductionTopology.Hierarchical) with { Summation = summation, SharesOptimizer = sharesOptimizer };
            TinyRun.AssertEqual(Reference(4, summation), await fixture.StepsOf(plan with { Reduction = plan.Reduction with { Groups = ReplicaGroups.Parse(groups) } }));
        }
    }

    [Theory]
    [InlineData(true, 3, false, 2)]
    [InlineData(true, 2, true, 4)]
    [InlineData(false, 2, true, 3)]
    public async Task A_checkpoint_of_it_is_one_like_any_other(bool isSharedBefore, int before, bool isSharedAfter, int after)
    {
        using var folder = new TemporaryFolder();
        var store = new FolderCheckpointStore(folder.In("checkpoints"));
        var common = TinyRun.Plan(2, MicroBatchCount, precision: Precision.Bf16) with { Summation = Summation.Invariant, Checkpoints = new CheckpointPlan(store, RunTests.Describe) };
        var begun = await fixture.StepsOf(common with { ReplicaCount = before, SharesOptimizer = isSharedBefore, Steps = 2 });
        var ended = await fixture.StepsOf(common with { ReplicaCount = after, SharesOptimizer = isSharedAfter, ResumeFromStep = 2 });
        var reference = Reference(1, Summation.Invariant, precision: Precision.Bf16);
        TinyRun.AssertEqual(reference, [.. begun, .. ended]);
        TinyRun.AssertHolds(store, common, reference[^1]);
    }

    [Fact]
    public void Freed_gradients_go_straight_to_their_owners_and_are_refused_beside_reducers()
    {
        var plan = Plan(2, 1, ReductionTopology.Coordinator) with { SharesGradients = true };
        Assert.Contains("straight to", Assert.Throws<ScheduleException>(() => RunLayout.For(plan)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(CompressionKind.Int8, Precision.Fp32, 1)]
    [InlineData(CompressionKind.Int4, Precision.Bf16, 2)]
    [InlineData(CompressionKind.TopK, Precision.Fp32, 2)]
    [InlineData(CompressionKind.TopK, Precision.Bf16, 1)]
    [InlineData(CompressionKind.OneBit, Precision.Fp32, 1)]
    [InlineData(CompressionKind.BFloat16, Precision.Bf16, 2)]
    public async Task Compressed_weights_are_those_of_a_whole_model_that_computes_with_what_was_sent(CompressionKind kind, Precision precision, int stageCount)
    {
        foreach (var tied in new[] { true, false })
        {
            var plan = Compressed(TinyRun.Plan(stageCount, 2, tied, precision, steps: 8) with { ReplicaCount = 2, SharesOptimizer = true, Reduction = new ReductionSettings { BucketLength = 4000 } }, kind, warmup: 2);
            var expected = NaiveSharedWeights.Train(plan);
            var actual = await fixture.StepsOf(plan);
            Assert.Equal(expected, actual.Select(step => (BitConverter.DoubleToInt64Bits(step.Loss), BitConverter.DoubleToInt64Bits(step.GradientNorm))));
            // Uncompressed steps have the bits of a run that compresses nothing; after that it is another one.
            var exact = await fixture.StepsOf(plan with { Reduction = new ReductionSettings { BucketLength = 4000 } });
            Assert.Equal(exact.Take(2).Select(TinyRun.BitsOf), actual.Take(2).Select(TinyRun.BitsOf));
            Assert.NotEqual(TinyRun.BitsOf(exact[^1]).Loss, TinyRun.BitsOf(actual[^1]).Loss);
        }
    }

    [Theory]
    [InlineData(CompressionKind.Int4, Precision.Fp32)]
    [InlineData(CompressionKind.PowerSgd, Precision.Fp32)]
    [InlineData(CompressionKind.PowerSgd, Precision.Bf16)]
    public async Task Compressed_weights_have_the_same_bits_in_every_topology_and_number_of_stages(CompressionKind kind, Precision precision)
    {
        var sharded = await fixture.StepsOf(Compressed(Plan(4, 1, ReductionTopology.Sharded, precision: precision), kind));
        foreach (var topology in Enum.GetValues<ReductionTopology>())
        {
            var other = await fixture.StepsOf(Compressed(Plan(4, 2, topology, precision: precision), kind));
            Assert.Equal(sharded.Select(TinyRun.BitsOf), other.Select(TinyRun.BitsOf));
        }
    }

    [Theory]
    [InlineData(CompressionKind.Int4, Precision.Fp32, false)]
    [InlineData(CompressionKind.TopK, Precision.Bf16, true)]
    [InlineData(CompressionKind.PowerSgd, Precision.Bf16, false)]
    public async Task A_run_with_compressed_weights_goes_on_from_a_checkpoint_in_other_stages_as_if_nothing_had_been(CompressionKind kind, Precision precision, bool frees)
    {
        using var folder = new TemporaryFolder();
        var store = new FolderCheckpointStore(folder.In("checkpoints"));
        var plan = Compressed(Plan(3, 2, ReductionTopology.Sharded, precision: precision) with { SharesGradients = frees }, kind);
        var whole = await fixture.StepsOf(plan);
        var saved = plan with { Checkpoints = new CheckpointPlan(store, RunTests.Describe) };
        var begun = await fixture.StepsOf(saved with { Steps = 3 });
        // What a weight lacks goes by the parameter's name, whoever holds it.
        var ended = await fixture.StepsOf(saved with { ResumeFromStep = 3, StageCount = 1 });
        Assert.Equal(whole.Select(TinyRun.BitsOf), begun.Concat(ended).Select(TinyRun.BitsOf));
    }

    [Theory]
    [InlineData(Precision.Fp32)]
    [InlineData(Precision.Bf16)]
    public async Task Weights_that_are_not_compressed_any_more_are_the_exact_ones_again(Precision precision)
    {
        using var folder = new TemporaryFolder();
        var store = new FolderCheckpointStore(folder.In("checkpoints"));
        var plan = Compressed(Plan(2, 2, ReductionTopology.Sharded, precision: precision), CompressionKind.TopK) with { Steps = 8, Changes = [new SettingChange(4, SettingKind.AnswerCompression, 0)] };
        var whole = await fixture.StepsOf(plan);
        Assert.True(Sent(whole[2]) < Sent(whole[3]));
        var saved = plan with { Checkpoints = new CheckpointPlan(store, RunTests.Describe) };
        var begun = await fixture.StepsOf(saved with { Steps = 3 });
        Assert.Equal(whole.Select(TinyRun.BitsOf), begun.Concat(await fixture.StepsOf(saved with { ResumeFromStep = 3, Steps = 4 })).Concat(await fixture.StepsOf(saved with { ResumeFromStep = 4 })).Select(TinyRun.BitsOf));
        // From that step on they are what replicas have that share nothing out.
        var unshared = await fixture.StepsOf(saved with { ResumeFromStep = 4, SharesOptimizer = false, Reduction = new ReductionSettings(), Changes = [] });
        Assert.Equal(whole.Skip(4).Select(TinyRun.BitsOf), unshared.Select(TinyRun.BitsOf));
    }

    [Theory]
    [InlineData(Precision.Fp32)]
    public async Task A_single_replica_goes_on_from_the_exact_weights_that_several_kept_beside_those_that_they_shared(Precision precision)
    {
        using var folder = new TemporaryFolder();
        var store = new FolderCheckpointStore(folder.In("checkpoints"));
        var several = Compressed(Plan(3, 2, ReductionTopology.Sharded, precision: precision), CompressionKind.TopK) with { Steps = 3, Checkpoints = new CheckpointPlan(store, RunTests.Describe) };
        await fixture.StepsOf(several);
        // Of this thread, which is another one than before.
        TorchRuntime.UseThreads(1);
        using var model = new StageModel(several.Units, 0, several.Units.Count, new StageOptions(precision, torch.CPU, several.Seed));
        using (var checkpoint = store.Open(3)) LoadExact(model, checkpoint, precision);
        var trainer = new ReferenceTrainer(model, several.Batches, several.Optimizer);
        var expected = Enumerable.Range(4, 3).Select(step => new ReferenceStep(trainer.Step(step), StateDigest.Of(model), 0)).ToArray();
        var single = await fixture.StepsOf(several with { ReplicaCount = 1, SharesOptimizer = false, Reduction = new ReductionSettings(), ResumeFromStep = 3, Steps = 6 });
        TinyRun.AssertEqual(expected, single);
    }

    /// <summary>What a whole model has whose owners' exact weights are asked for: in fp32 they lie beside the shared ones, in bf16 they are those that the optimizer updates.</summary>
    private static void LoadExact(StageModel model, CheckpointReader checkpoint, Precision precision)
    {
        StateLoader.Load(model, checkpoint);
        var differs = false;
        foreach (var parameter in model.Units.SelectMany(unit => unit.Parameters))
        {
            var kept = new byte[parameter.Spec.ElementCount * sizeof(float)];
            checkpoint.ReadInto(ResidualStore.NameOf(SharedWeight.Prefix + parameter.FullName), 0, kept);
            differs |= !kept.AsSpan().SequenceEqual(parameter.Master.bytes);
            if (precision == Precision.Fp32) kept.CopyTo(parameter.Master.bytes);
        }

        // Top-k leaves most of each step to later ones: the two are not the same.
        Assert.True(differs);
        model.StateLoaded();
    }

    [Fact]
    public void Weights_are_sent_after_a_step_that_was_begun_and_once()
    {
        var plan = TinyRun.Plan(1, 2);
        using StageModel model = new(plan.Units, 0, plan.Units.Count, new StageOptions(Precision.Fp32, torch.CPU, plan.Seed));
        using ResidualStore store = new();
        using SharedWeight weight = new(model.Units[0].Parameters[0], new CompressionSettings { Kind = CompressionKind.Int8 }, store, plan.Seed);
        Assert.Contains("begun is none", Assert.Throws<InvalidOperationException>(() => weight.Encode(1)).Message, StringComparison.Ordinal);
        weight.Begin(1);
        weight.Encode(1).Dispose();
        Assert.Throws<InvalidOperationException>(() => weight.Encode(1));
        weight.Begin(2);
        Assert.Contains("begun is step 2", Assert.Throws<InvalidOperationException>(() => weight.SendsWhole(3)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Both_ways_compressed_a_shared_out_run_sends_a_seventh_and_learns()
    {
        var plan = Plan(2, 2, ReductionTopology.Sharded) with { Steps = 12 };
        var exact = await fixture.StepsOf(plan);
        var compressed = Compressed(plan, CompressionKind.Int4);
        var both = await fixture.StepsOf(compressed with { Reduction = compressed.Reduction with { Contributions = compressed.Reduction.Answers } });
        // Lengths and scales of many small parameters are some of it.
        Assert.InRange((double)Sent(exact[^1]) / Sent(both[^1]), 6.5, 8);
        Assert.InRange(both[^1].Loss - exact[^1].Loss, -0.1 * (exact[0].Loss - exact[^1].Loss), 0.1 * (exact[0].Loss - exact[^1].Loss));
    }

    private static long Sent(StepSummary step) => step.Ranks.Sum(rank => rank.Timing.ExchangedBytes);

    private static TrainingPlan Compressed(TrainingPlan plan, CompressionKind kind, int warmup = 0) =>
        plan with { Reduction = plan.Reduction with { Answers = new CompressionSettings { Kind = kind, WarmupSteps = warmup, Share = 0.05 } } };

    private static TrainingPlan Plan(int replicaCount, int stageCount, ReductionTopology topology, bool tied = true, Precision precision = Precision.Fp32) => TinyRun.Plan(stageCount, MicroBatchCount, tied, precision) with
    {
        ReplicaCount = replicaCount,
        SharesOptimizer = true,
        Reduction = new ReductionSettings { Topology = topology, BucketLength = 4000, PieceLength = 1024, GroupSize = 2 },
    };

    /// <summary>The unsplit model with the order of addition of so many replicas.</summary>
    private static IReadOnlyList<ReferenceStep> Reference(int replicaCount, Summation summation, bool tied = true, Precision precision = Precision.Fp32) => s_references.GetOrAdd(
        (summation == Summation.Invariant ? 1 : replicaCount, summation, tied, precision),
        key => TinyRun.Train(TinyRun.Plan(1, MicroBatchCount, key.Item3, key.Item4) with { ReplicaCount = key.Item1, Summation = key.Item2 }));
}
