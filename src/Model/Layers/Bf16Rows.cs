using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Pipeline.Model.Layers;

/// <summary>
/// Rows of bf16 as floats and back: kernels compute in fp32 on a copy that stays in the nearest cache, and round once, to the nearest
/// and to even, as the library does.
/// </summary>
internal static class Bf16Rows
{
    private const int Lanes = 8;
    private const ushort NotANumber = 0x7FC0;

    /// <summary>target ← source, exactly.</summary>
    internal static void Widen(ReadOnlySpan<ushort> source, Span<float> target)
    {
        ref var from = ref MemoryMarshal.GetReference(source);
        ref var to = ref MemoryMarshal.GetReference(target);
        var index = 0;
        for (; index <= source.Length - Lanes; index += Lanes)
        {
            var halves = Vector128.LoadUnsafe(ref from, (nuint)index);
            var (low, high) = Vector128.Widen(halves);
            Vector256.ShiftLeft(Vector256.Create(low, high), 16).AsSingle().StoreUnsafe(ref to, (nuint)index);
        }

        for (; index < source.Length; index++) target[index] = BitConverter.UInt32BitsToSingle((uint)source[index] << 16);
    }

    /// <summary>target ← source, rounded.</summary>
    internal static void Narrow(ReadOnlySpan<float> source, Span<ushort> target)
    {
        ref var from = ref MemoryMarshal.GetReference(source);
        ref var to = ref MemoryMarshal.GetReference(target);
        var index = 0;
        for (; index <= source.Length - Lanes; index += Lanes)
        {
            var values = Vector256.LoadUnsafe(ref from, (nuint)index);
            var rounded = Rounded(values);
            Vector128.Narrow(rounded.GetLower(), rounded.GetUpper()).StoreUnsafe(ref to, (nuint)index);
        }

        for (; index < source.Length; index++) target[index] = (ushort)Rounded(Vector256.Create(source[index])).ToScalar();
    }

    private static Vector256<uint> Rounded(Vector256<float> values)
    {
        var bits = values.AsUInt32();
        var even = Vector256.ShiftRightLogical(bits, 16) & Vector256<uint>.One;
        var rounded = Vector256.ShiftRightLogical(bits + even + Vector256.Create(0x7FFFu), 16);
        return Vector256.ConditionalSelect(Vector256.Equals(values, values).AsUInt32(), rounded, Vector256.Create((uint)NotANumber));
    }
}
