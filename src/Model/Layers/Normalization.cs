using Pipeline.Model.Numerics;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>The norm before each half of a block and before the head: its parameters and its forward.</summary>
/// <param name="Kind">Layer or root-mean-square.</param>
/// <param name="Width">D.</param>
/// <param name="Bias">Whether a layer norm carries a bias.</param>
/// <param name="Epsilon">Added to the variance.</param>
internal sealed record Normalization(NormKind Kind, int Width, bool Bias, double Epsilon)
{
    private const string Gain = "norm.weight";
    private const string Shift = "norm.bias";

    private bool HasShift => Bias && Kind == NormKind.Layer;

    internal IEnumerable<ParameterSpec> Parameters()
    {
        yield return new ParameterSpec(Gain, [Width], Initialization.Ones);
        if (HasShift) yield return new ParameterSpec(Shift, [Width], Initialization.Zeros);
    }

    /// <summary>Statistics and gain in fp32 (fp64 in gradient checks), result in the input's type.</summary>
    internal Tensor Forward(Tensor input, UnitPass pass)
    {
        var gain = pass.Parameter(Gain);
        if (Kind == NormKind.Layer)
            return nn.functional.layer_norm(input, [Width], gain, HasShift ? pass.Parameter(Shift) : null, Epsilon);
        var wide = input.to_type(gain.dtype);
        var scale = wide.square().mean([-1], keepdim: true).Plus(Epsilon).rsqrt();
        return wide.mul(scale).mul(gain).to_type(input.dtype);
    }
}
