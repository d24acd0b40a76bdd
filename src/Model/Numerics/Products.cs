using System.Runtime.Intrinsics.X86;
using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Model.Numerics;

/// <summary>
/// Matrix products in the run's arithmetic. A CPU without wide bf16 support would run the library's bf16 products through a scalar loop,
/// some hundred times slower than fp32; there the operands are widened, multiplied in fp32 and the result is rounded once to bf16.
/// The choice follows from the processor alone, never from a timing, so that it cannot change from run to run.
/// </summary>
public static class Products
{
    private static readonly bool s_widens = X86Base.IsSupported && !Avx512BW.IsSupported;

    /// <summary>Whether bf16 products on this machine's CPU go through fp32.</summary>
    public static bool WidensBf16OnCpu => s_widens;

    /// <summary>a · b for [..., I] and [I, O].</summary>
    public static Tensor MatMul(Tensor first, Tensor second)
    {
        if (!Widens(first)) return first.matmul(second);
        using var a = first.to_type(ScalarType.Float32);
        using var b = second.to_type(ScalarType.Float32);
        using var product = a.matmul(b);
        return product.to_type(ScalarType.BFloat16);
    }

    /// <summary>x · weightᵀ for [..., I] and [O, I].</summary>
    public static Tensor Linear(Tensor input, Tensor weight)
    {
        if (!Widens(input)) return nn.functional.linear(input, weight);
        using var x = input.to_type(ScalarType.Float32);
        using var w = weight.to_type(ScalarType.Float32);
        using var product = nn.functional.linear(x, w);
        return product.to_type(ScalarType.BFloat16);
    }

    internal static bool Widens(Tensor tensor) =>
        s_widens && tensor.dtype == ScalarType.BFloat16 && tensor.device_type == DeviceType.CPU;
}
