using Pipeline.Model.Numerics;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// Rotary position embedding (Su et al. 2021) in the half-split layout that Hugging Face models use: element i of the first half of a
/// head is rotated with element i of the second half by position · base^(−2i/d).
/// </summary>
internal static class RotaryEmbedding
{
    /// <summary>Rotates [B, T, H, d] for positions that begin at <paramref name="start"/>.</summary>
    internal static Tensor Rotate(Tensor heads, int start, double frequencyBase)
    {
        var (cosine, sine) = Tables((int)heads.shape[1], (int)heads.shape[3] / 2, start, frequencyBase, heads.dtype, heads.device);
        var halves = heads.chunk(2, -1);
        var first = halves[0].mul(cosine).sub(halves[1].mul(sine));
        var second = halves[1].mul(cosine).Plus(halves[0].mul(sine));
        return cat([first, second], -1);
    }

    private static (Tensor Cosine, Tensor Sine) Tables(int length, int pairs, int start, double frequencyBase, ScalarType type, Device device)
    {
        using var guard = no_grad();
        var exponents = NumberArguments.Range(0, pairs, device).Times(-Math.Log(frequencyBase) / pairs);
        var positions = NumberArguments.Range(start, start + length, device);
        var angles = positions.unsqueeze(1).mul(exponents.exp().unsqueeze(0)).unsqueeze(1); // [T, 1, d/2]
        return (angles.cos().to_type(type), angles.sin().to_type(type));
    }
}
