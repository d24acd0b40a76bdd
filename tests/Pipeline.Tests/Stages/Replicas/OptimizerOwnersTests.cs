using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Reduction.Topologies;
using Pipeline.Stages;
using Xunit;
using static TorchSharp.torch;

namespace Pipeline.Tests.Stages.Replicas;

/// <summary>Who holds which optimizer state, and what that leaves in memory.</summary>
public sealed class OptimizerOwnersTests
{
    private const int Layers = 8;

    /// <summary>Padding and parameters that cannot be cut keep shares from being even.</summary>
    private const double Tolerance = 0.05;

    private static readonly ModelSettings s_settings = new() { Layers = Layers, Width = 64, Heads = 2, KeyValueHeads = 2, Context = 16, Vocabulary = 256, Tied = true, Dropout = 0 };

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    public void Both_uses_of_a_tied_parameter_have_one_owner_and_shares_are_even(int replicaCount)
    {
        var units = DecoderTransformer.Units(s_settings);
        var owners = new OptimizerOwners(units, [units.Count / 2, units.Count - units.Count / 2], replicaCount);
        var parameters = units.SelectMany(unit => unit.Parameters.Select(spec => (Name: unit.FullName(spec), Spec: spec))).ToArray();
        foreach (var (name, spec) in parameters.Where(parameter => parameter.Spec.TiedTo is not null)) Assert.Equal(owners[spec.TiedTo!], owners[name]);
        var shares = parameters.GroupBy(parameter => owners[parameter.Name]).Select(group => (double)group.Sum(parameter => parameter.Spec.ElementCount)).ToArray();
        Assert.Equal(replicaCount, shares.Length);
        var even = shares.Sum() / replicaCount;
        Assert.All(shares, share => Assert.InRange(share / even, 0.8, 1.2));
    }

    [Theory]
    [InlineData(Precision.Fp32, 1, 8, 8)]
    [InlineData(Precision.Fp32, 2, 4, 12)]
    [InlineData(Precision.Bf16, 1, 6, 12)]
    [InlineData(Precision.Bf16, 2, 2, 16)]
    public void Each_rank_owns_the_bytes_a_parameter_of_its_stage_of_sharing_out(Precision precision, int zeroStage, double everywhere, double shared)
    {
        var units = DecoderTransformer.Units(s_settings);
        var parameterCount = units.SelectMany(unit => unit.Parameters).Sum(spec => spec.ElementCount);
        foreach (var replicaCount in new[] { 1, 2, 4 })
        {
            var owners = new OptimizerOwners(units, [units.Count], replicaCount);
            var expected = everywhere + shared / replicaCount;
            Assert.Equal(expected, ParameterBytes.Of(precision, replicaCount, zeroStage == 2 ? replicaCount : 1));
            for (var replica = 0; replica < replicaCount; replica++)
            {
                using var model = new StageModel(units, 0, units.Count, new StageOptions(precision, CPU, 1, Owns: parameter => owners[parameter] == replica, FreesGradients: zeroStage == 2));
                // Every tensor that the units own, whatever it is for: weights, gradients, moments.
                var bytes = (double)model.Units.Sum(unit => unit.ByteCount);
                Assert.InRange(bytes / parameterCount / expected, 1 - Tolerance, 1 + Tolerance);
                if (zeroStage == 1) continue;
                // The memory in which gradients take turns is a bucket's, whatever the model's size.
                var buckets = BucketList.Of([.. model.Units.Select(unit => unit.Length)], 5000);
                var lent = model.TakeTurnsInGradientMemory([.. buckets.Select(bucket => bucket.Units)]);
                Assert.Equal(buckets.Max(bucket => bucket.Length), lent.numel());
                Assert.Equal(bytes, model.Units.Sum(unit => unit.ByteCount));
            }
        }
    }
}
