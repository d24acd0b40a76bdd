using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace OwnUnits;

/// <summary>The first unit: a vector for each character, [B, T] → [B, T, D].</summary>
internal sealed class CharacterEmbedding(int vocabularySize, int width) : Unit("embedding")
{
    /// <inheritdoc/>
    public override IReadOnlyList<ParameterSpec> Parameters { get; } = [new("table", [vocabularySize, width], Initialization.Normal(0.1))];

    /// <inheritdoc/>
    public override double Cost => width;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, UnitPass pass) => pass.Embedding("table");
}

/// <summary>
/// A causal convolution over time whose one half gates the other (Dauphin et al. 2017), with a residual path: TorchSharp's own
/// operations on the unit's parameters. The backward comes from autograd.
/// </summary>
/// <param name="layer">Number of the layer.</param>
/// <param name="width">Width D of the residual stream.</param>
/// <param name="reach">Characters that a position sees, itself included.</param>
internal sealed class GatedConvolution(int layer, int width, int reach) : Unit($"layers.{layer}.convolution")
{
    /// <inheritdoc/>
    public override IReadOnlyList<ParameterSpec> Parameters { get; } =
    [
        new("kernel", [2L * width, width, reach], Initialization.Normal(1 / Math.Sqrt(width * reach))),
        new("bias", [2L * width], Initialization.Zeros),
    ];

    /// <inheritdoc/>
    public override double Cost => 2.0 * width * width * reach;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, UnitPass pass)
    {
        var past_BDT = nn.functional.pad(input.transpose(1, 2), [reach - 1, 0]);
        var mixed_BDT = nn.functional.conv1d(past_BDT, pass.Parameter("kernel"), pass.Parameter("bias"));
        return input + nn.functional.glu(mixed_BDT, 1).transpose(1, 2);
    }
}

/// <summary>The last unit: the product with the alphabet and the cross-entropy, summed over characters.</summary>
internal sealed class CharacterHead(int vocabularySize, int width) : Unit("head")
{
    /// <inheritdoc/>
    public override IReadOnlyList<ParameterSpec> Parameters { get; } = [new("weight", [vocabularySize, width], Initialization.Normal(0.05))];

    /// <inheritdoc/>
    public override double Cost => (double)vocabularySize * width;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, UnitPass pass)
    {
        var logits = pass.Linear(input, "weight").view(-1, vocabularySize);
        return nn.functional.cross_entropy(logits, pass.MicroBatch.Targets.view(-1), reduction: nn.Reduction.Sum);
    }
}
