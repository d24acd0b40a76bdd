using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Model.Numerics;

/// <summary>
/// Tensor operations that take a number, also the hidden factor one of an addition. The library makes a finalizable object of each number
/// and hands its bare address to the native operation: a garbage collection in between frees it, and the operation fails or reads another
/// number. Here the number outlives the operation. Units of one's own that add or scale in a long run should use these; inside this
/// project the library's own forms are banned.
/// </summary>
public static class NumberArguments
{
    private static readonly Scalar s_one = 1.ToScalar();

    /// <summary>a + b, broadcast.</summary>
    public static Tensor Plus(this Tensor tensor, Tensor other) => tensor.add(other, s_one);

    /// <summary>a + number.</summary>
    public static Tensor Plus(this Tensor tensor, double number)
    {
        using var kept = number.ToScalar();
        return tensor.add(kept, s_one);
    }

    /// <summary>a · number.</summary>
    public static Tensor Times(this Tensor tensor, double number)
    {
        using var kept = number.ToScalar();
        return tensor.mul(kept);
    }

    /// <summary>a ← a + b.</summary>
    public static Tensor AddInPlace(this Tensor tensor, Tensor other) => tensor.add_(other, s_one);

    /// <summary>a ← a + number · b.</summary>
    public static Tensor AddInPlace(this Tensor tensor, Tensor other, double number)
    {
        using var kept = number.ToScalar();
        return tensor.add_(other, kept);
    }

    /// <summary>a ← a + number.</summary>
    public static Tensor AddInPlace(this Tensor tensor, double number)
    {
        using var kept = number.ToScalar();
        return tensor.add_(kept, s_one);
    }

    /// <summary>a ← number · a.</summary>
    public static Tensor ScaleInPlace(this Tensor tensor, double number)
    {
        using var kept = number.ToScalar();
        return tensor.mul_(kept);
    }

    /// <summary>Every element ← number.</summary>
    public static Tensor FillInPlace(this Tensor tensor, double number)
    {
        using var kept = number.ToScalar();
        return tensor.fill_(kept);
    }

    /// <summary>a ← a + number · b · c.</summary>
    public static Tensor AddProductInPlace(this Tensor tensor, Tensor first, Tensor second, double number)
    {
        using var kept = number.ToScalar();
        return tensor.addcmul_(first, second, kept);
    }

    /// <summary>a ← a + number · b / c.</summary>
    public static Tensor AddQuotientInPlace(this Tensor tensor, Tensor dividend, Tensor divisor, double number)
    {
        using var kept = number.ToScalar();
        return tensor.addcdiv_(dividend, divisor, kept);
    }

    /// <summary>Adds row i of <paramref name="rows"/> to the row <paramref name="indices"/>[i].</summary>
    public static Tensor AddRowsInPlace(this Tensor tensor, Tensor indices, Tensor rows) => tensor.index_add_(0, indices, rows, s_one);

    /// <summary>A tensor of one number.</summary>
    public static Tensor Filled(ReadOnlySpan<long> shape, double number, ScalarType type, Device device)
    {
        using var kept = number.ToScalar();
        return full(shape, kept, type, device);
    }

    /// <summary>start, start + 1, ... below <paramref name="stop"/>, in fp64: [stop − start].</summary>
    public static Tensor Range(long start, long stop, Device device)
    {
        using var first = start.ToScalar();
        using var end = stop.ToScalar();
        return arange(first, end, s_one, ScalarType.Float64, device);
    }
}
