using Pipeline.Model.Layers;
using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>
/// The last norm, the product with the vocabulary and the loss: [B, T, D] → the cross-entropy summed over tokens (fp64 scalar), or in
/// prefill and decode the logits of each row's last position, [B, V] in fp32.
/// </summary>
/// <param name="settings">The model's shape.</param>
public sealed class HeadUnit(ModelSettings settings) : Unit("head")
{
    private const string Output = "output.weight";
    private readonly Normalization _norm = new(settings.Norm, settings.Width, settings.Bias, settings.NormEpsilon);

    /// <inheritdoc/>
    public override IReadOnlyList<ParameterSpec> Parameters { get; } =
    [
        .. new Normalization(settings.Norm, settings.Width, settings.Bias, settings.NormEpsilon).Parameters(),
        new ParameterSpec(Output, [settings.Vocabulary, settings.Width], Initialization.Normal(settings.InitialDeviation))
        {
            TiedTo = settings.Tied ? $"{EmbeddingUnit.UnitName}.{EmbeddingUnit.Table}" : null,
        },
    ];

    /// <inheritdoc/>
    public override double Cost => UnitCost.Head(settings, settings.Vocabulary);

    /// <inheritdoc/>
    public override double KeptElementsPerToken => 2.0 * settings.Width + settings.Vocabulary;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, UnitPass pass)
    {
        if (pass.Mode is PassMode.Train or PassMode.Eval)
            return pass.LinearCrossEntropy(_norm.Forward(input, pass), Output);
        var last_B1D = input.narrow(1, input.shape[1] - 1, 1);
        return pass.Linear(_norm.Forward(last_B1D, pass), Output).squeeze(1).to_type(ScalarType.Float32);
    }
}
