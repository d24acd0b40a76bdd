using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
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
    [InlineData(Precision.Fp32, 2, 8, 8)]
    [InlineData(Precision.Fp32, 4, 8, 8)]
    [InlineData(Precision.Bf16, 2, 6, 12)]
    [InlineData(Precision.Bf16, 4, 6, 12)]
    public void Memory_per_parameter_is_that_of_a_shared_out_optimizer(Precision precision, int replicaCount, double everywhere, double shared)
    {
        var units = DecoderTransformer.Units(s_settings);
        var owners = new OptimizerOwners(units, [units.Count], replicaCount);
        var bytes = Enumerable.Range(0, replicaCount).Average(replica =>
        {
            using var model = new StageModel(units, 0, units.Count, new StageOptions(precision, CPU, 1, Owns: parameter => owners[parameter] == replica));
            return (double)model.Units.Sum(BytesOf);
        });
        var parameterCount = units.SelectMany(unit => unit.Parameters).Sum(spec => spec.ElementCount);
        Assert.InRange(bytes / parameterCount / (everywhere + shared / replicaCount), 1 - Tolerance, 1 + Tolerance);
    }

    private static long BytesOf(UnitState unit)
    {
        Tensor[] buffers = [unit.Master, unit.Working, unit.Compute, unit.Gradient, unit.FirstMoment, unit.SecondMoment];
        return buffers.Distinct<Tensor>(ReferenceEqualityComparer.Instance).Sum(buffer => buffer.numel() * buffer.element_size());
    }
}
