using System.Runtime.InteropServices;
using Pipeline.Model.Numerics;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>Counter-based dropout: an element's fate is a function of (seed, global sample, unit, place, element) alone.</summary>
internal static class DropoutMask
{
    internal static Tensor Apply(Tensor input, double probability, ulong seed, long[] samples, int unitIndex, int place)
    {
        var rowLength = (int)(input.numel() / samples.Length);
        using var mask = empty(input.shape, ScalarType.Float32, CPU);
        var values = MemoryMarshal.Cast<byte, float>(mask.bytes);
        for (var row = 0; row < samples.Length; row++)
            Fill(values.Slice(row * rowLength, rowLength), probability, Key(seed, unitIndex, place), (ulong)samples[row]);
        return input.mul(mask.to(input.dtype, input.device));
    }

    internal static ulong Key(ulong seed, int unitIndex, int place) => Philox.Key(seed, $"dropout {unitIndex} {place}");

    internal static void Fill(Span<float> row, double probability, ulong key, ulong sample)
    {
        var threshold = (uint)(probability * 4294967296.0);
        var kept = (float)(1 / (1 - probability));
        for (var index = 0; index < row.Length; index += 4)
        {
            var (a, b, c, d) = Philox.Draw(key, (uint)(index / 4), 0, sample);
            row[index] = a < threshold ? 0 : kept;
            if (index + 1 < row.Length) row[index + 1] = b < threshold ? 0 : kept;
            if (index + 2 < row.Length) row[index + 2] = c < threshold ? 0 : kept;
            if (index + 3 < row.Length) row[index + 3] = d < threshold ? 0 : kept;
        }
    }
}
