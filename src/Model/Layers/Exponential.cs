using System.Runtime.Intrinsics;

namespace Pipeline.Model.Layers;

/// <summary>
/// eˣ over eight floats, to about one unit in the last place: Cody and Waite's reduction and the polynomial of Cephes' expf (Moshier,
/// "Methods and Programs for Mathematical Functions", 1989). The runtime's own widens to double and takes about three times as long.
/// Only correctly rounded operations, fused ones included, so that every processor gives the same bits.
/// </summary>
internal static class Exponential
{
    // Beyond these the power of two leaves the range of normal floats; the result is then 0 or infinity, nothing between.
    private const float Least = -87.33654f;
    private const float Greatest = 88.02969f;
    private const float InverseLog2 = 1.44269504f;
    private const float Log2High = 0.693359375f;
    private const float Log2Low = -2.12194440e-4f;

    /// <summary>eˣ; 0 below about −87.3, infinite above about 88, NaN of NaN.</summary>
    internal static Vector256<float> Of(Vector256<float> x)
    {
        var power = Vector256.Round(x * InverseLog2);
        var rest = Vector256.FusedMultiplyAdd(power, Vector256.Create(-Log2High), x);
        rest = Vector256.FusedMultiplyAdd(power, Vector256.Create(-Log2Low), rest);
        var sum = Vector256.FusedMultiplyAdd(Vector256.Create(1.9875691500e-4f), rest, Vector256.Create(1.3981999507e-3f));
        sum = Vector256.FusedMultiplyAdd(sum, rest, Vector256.Create(8.3334519073e-3f));
        sum = Vector256.FusedMultiplyAdd(sum, rest, Vector256.Create(4.1665795894e-2f));
        sum = Vector256.FusedMultiplyAdd(sum, rest, Vector256.Create(1.6666665459e-1f));
        sum = Vector256.FusedMultiplyAdd(sum, rest, Vector256.Create(5.0000001201e-1f));
        sum = Vector256.FusedMultiplyAdd(sum, rest * rest, rest) + Vector256<float>.One;
        var exponent = Vector256.ShiftLeft(Vector256.ConvertToInt32Native(power) + Vector256.Create(127), 23);
        var result = sum * exponent.AsSingle();
        // Comparisons with NaN are false, so that NaN stays.
        result = Vector256.ConditionalSelect(Vector256.LessThan(x, Vector256.Create(Least)), Vector256<float>.Zero, result);
        return Vector256.ConditionalSelect(Vector256.GreaterThan(x, Vector256.Create(Greatest)), Vector256.Create(float.PositiveInfinity), result);
    }
}
