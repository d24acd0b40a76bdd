using Pipeline.Model.Numerics;
using Pipeline.Model.Units;
using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// Scaled dot-product attention over heads, with the kernel that was measured to be the fastest: on a CPU products over causal blocks for
/// short sequences; for long ones the library's fused kernel in fp32 and plain products in bf16; the fused kernel elsewhere. Where bf16
/// products are widened, attention is too.
/// </summary>
internal static class CausalAttention
{
    /// <summary>
    /// Causal attention of q, k, v [B, H, T, d] to themselves. Probabilities are dropped into <paramref name="dropped"/>, where there is one,
    /// by the kernel that keeps them otherwise: the fused one keeps none, and plain products keep them in any case.
    /// </summary>
    internal static Tensor Causal(Tensor query, Tensor key, Tensor value, bool trains, BackwardFaults faults, DroppedSlots? dropped = null)
    {
        if (Products.Widens(query)) return Causal(Wide(query), Wide(key), Wide(value), trains, faults, dropped).to_type(ScalarType.BFloat16);
        if (ElementWise.Serves(query) && query.shape[2] <= BlockedAttentionFunction.LongestSequence)
            return BlockedAttentionFunction.Apply(query, key, value, trains, faults, dropped);
        if (query.device_type != DeviceType.CPU || query.dtype == ScalarType.Float32)
            return nn.functional.scaled_dot_product_attention(query, key, value, is_casual: true);
        var length = query.shape[2];
        var mask = NumberArguments.Filled([length, length], double.NegativeInfinity, query.dtype, query.device).triu_(1);
        return Scored(query, key, value, mask);
    }

    /// <summary>Attention of the newest positions q [B, H, t, d] to all k, v [B, H, T, d], T ≥ t, causal among the newest.</summary>
    internal static Tensor ToHistory(Tensor query, Tensor key, Tensor value)
    {
        if (Products.Widens(query)) return ToHistory(Wide(query), Wide(key), Wide(value)).to_type(ScalarType.BFloat16);
        var (newest, all) = (query.shape[2], key.shape[2]);
        if (newest == 1) return Scored(query, key, value, null);
        var mask = NumberArguments.Filled([newest, all], double.NegativeInfinity, query.dtype, query.device).triu_(1 + all - newest);
        return Scored(query, key, value, mask);
    }

    private static Tensor Wide(Tensor tensor) => tensor.to_type(ScalarType.Float32);

    private static Tensor Scored(Tensor query, Tensor key, Tensor value, Tensor? mask)
    {
        var scores = query.Times(1 / Math.Sqrt(query.shape[3])).matmul(key.transpose(2, 3));
        if (mask is not null) scores = scores.AddInPlace(mask);
        return nn.functional.softmax(scores, -1).matmul(value);
    }
}
