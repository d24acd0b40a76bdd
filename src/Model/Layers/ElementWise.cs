using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>An element-wise function of two operands, eight lanes at a time.</summary>
internal interface IBinaryKernel
{
    /// <summary>The function.</summary>
    Vector256<float> Compute(Vector256<float> first, Vector256<float> second);
}

/// <summary>Applies a kernel to contiguous tensors of fp32 or bf16 on a CPU.</summary>
internal static class ElementWise
{
    private const int PieceLength = 1 << 28;

    // Three rows of this length of floats fill half of a 32 KiB cache.
    private const int RowLength = 1024;

    /// <summary>Whether tensors like this one are served.</summary>
    internal static bool Serves(Tensor tensor) =>
        tensor.device_type == DeviceType.CPU && tensor.dtype is ScalarType.Float32 or ScalarType.BFloat16;

    /// <summary>result ← kernel(first, second), all of one shape and type.</summary>
    internal static void Binary<TKernel>(Tensor first, Tensor second, Tensor result, TKernel kernel)
        where TKernel : struct, IBinaryKernel
    {
        using var flatFirst = first.view(-1);
        using var flatSecond = second.view(-1);
        using var flatResult = result.view(-1);
        var isHalf = first.dtype == ScalarType.BFloat16;
        for (long start = 0; start < flatFirst.numel(); start += PieceLength)
        {
            var count = Math.Min(PieceLength, flatFirst.numel() - start);
            using var a = flatFirst.narrow(0, start, count);
            using var b = flatSecond.narrow(0, start, count);
            using var c = flatResult.narrow(0, start, count);
            if (isHalf) Halves(As<ushort>(a), As<ushort>(b), As<ushort>(c), kernel);
            else Piece(As<float>(a), As<float>(b), As<float>(c), kernel);
        }
    }

    private static Span<T> As<T>(Tensor tensor)
        where T : struct => MemoryMarshal.Cast<byte, T>(tensor.bytes);

    private static void Halves<TKernel>(ReadOnlySpan<ushort> first, ReadOnlySpan<ushort> second, Span<ushort> result, TKernel kernel)
        where TKernel : struct, IBinaryKernel
    {
        Span<float> a = stackalloc float[RowLength], b = stackalloc float[RowLength];
        for (var start = 0; start < result.Length; start += RowLength)
        {
            var count = Math.Min(RowLength, result.Length - start);
            Bf16Rows.Widen(first.Slice(start, count), a);
            Bf16Rows.Widen(second.Slice(start, count), b);
            Piece(a[..count], b[..count], a[..count], kernel);
            Bf16Rows.Narrow(a[..count], result.Slice(start, count));
        }
    }

    private static void Piece<TKernel>(ReadOnlySpan<float> first, ReadOnlySpan<float> second, Span<float> result, TKernel kernel)
        where TKernel : struct, IBinaryKernel
    {
        ref var a = ref MemoryMarshal.GetReference(first);
        ref var b = ref MemoryMarshal.GetReference(second);
        ref var c = ref MemoryMarshal.GetReference(result);
        var index = 0;
        for (; index <= result.Length - 8; index += 8)
            kernel.Compute(Vector256.LoadUnsafe(ref a, (nuint)index), Vector256.LoadUnsafe(ref b, (nuint)index)).StoreUnsafe(ref c, (nuint)index);
        for (; index < result.Length; index++)
            result[index] = kernel.Compute(Vector256.Create(first[index]), Vector256.Create(second[index])).ToScalar();
    }
}
