using Pipeline.Model.Layers;
using Pipeline.Model.Numerics;
using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>The MLP half of a block, pre-norm and residual: x + dropout(down(activation(up(norm(x))))), plain GELU or gated SiLU.</summary>
/// <param name="settings">The model's shape.</param>
/// <param name="layer">Number of the block.</param>
public sealed class FeedForwardUnit(ModelSettings settings, int layer) : Unit($"layers.{layer}.mlp")
{
    private const string Up = "up.weight";
    private const string UpBias = "up.bias";
    private const string Down = "down.weight";
    private const string DownBias = "down.bias";
    private readonly Normalization _norm = new(settings.Norm, settings.Width, settings.Bias, settings.NormEpsilon);

    /// <inheritdoc/>
    public override IReadOnlyList<ParameterSpec> Parameters { get; } = Specs(settings);

    /// <inheritdoc/>
    public override double Cost => UnitCost.FeedForward(settings);

    /// <inheritdoc/>
    public override double KeptElementsPerToken => 3.0 * settings.Width + (settings.Activation == ActivationKind.SwiGlu ? 5.0 : 2.0) * settings.HiddenWidth;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, UnitPass pass)
    {
        var normed_BTD = _norm.Forward(input, pass);
        var wide_BTF = pass.Linear(normed_BTD, Up, settings.Bias ? UpBias : null);
        var active_BTF = settings.Activation == ActivationKind.Gelu
            ? pass.Gelu(wide_BTF)
            : Gated(wide_BTF);
        var projected_BTD = pass.Linear(active_BTF, Down, settings.Bias ? DownBias : null);
        return input.Plus(pass.Dropout(projected_BTD, settings.Dropout, place: 0));
    }

    // Gate and value come from one product: the first half of its columns gates the second.
    private static Tensor Gated(Tensor wide)
    {
        var halves = wide.chunk(2, -1);
        return nn.functional.silu(halves[0]).mul(halves[1]);
    }

    private static List<ParameterSpec> Specs(ModelSettings settings)
    {
        var (width, hidden) = (settings.Width, settings.HiddenWidth);
        var upWidth = settings.Activation == ActivationKind.SwiGlu ? 2L * hidden : hidden;
        var residual = settings.InitialDeviation / Math.Sqrt(2.0 * settings.Layers);
        List<ParameterSpec> specs =
        [
            .. new Normalization(settings.Norm, width, settings.Bias, settings.NormEpsilon).Parameters(),
            new(Up, [upWidth, width], Initialization.Normal(settings.InitialDeviation)),
            new(Down, [width, hidden], Initialization.Normal(residual)),
        ];
        if (settings.Bias)
        {
            specs.Add(new ParameterSpec(UpBias, [upWidth], Initialization.Zeros));
            specs.Add(new ParameterSpec(DownBias, [width], Initialization.Zeros));
        }

        return specs;
    }
}
