using System.Runtime.InteropServices;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Numerics;

/// <summary>Fills a parameter with normal values that depend on seed and name alone (Box–Muller over <see cref="Philox"/>).</summary>
internal static class NormalFill
{
    // Filled on the host in pieces, so that tensors over 2 GiB and other devices work alike.
    private const int PieceLength = 1 << 20;

    internal static void Fill(Tensor target, ulong seed, string name, Initialization initialization)
    {
        if (initialization.Deviation == 0)
        {
            target.FillInPlace(initialization.Mean);
            return;
        }

        var key = Philox.Key(seed, name);
        using var flat = target.view(-1);
        var values = new float[(int)Math.Min(PieceLength, flat.numel())];
        for (long start = 0; start < flat.numel(); start += values.Length)
        {
            var count = (int)Math.Min(values.Length, flat.numel() - start);
            Draw(values.AsSpan(0, count), key, start, initialization);
            using var piece = flat.narrow(0, start, count);
            using var drawn = empty(count, ScalarType.Float32, CPU);
            MemoryMarshal.AsBytes(values.AsSpan(0, count)).CopyTo(drawn.bytes);
            piece.copy_(drawn);
        }
    }

    private static void Draw(Span<float> values, ulong key, long start, Initialization initialization)
    {
        Span<float> four = stackalloc float[4];
        for (var index = 0; index < values.Length; index += 4)
        {
            var block = (ulong)(start + index) / 4;
            var (a, b, c, d) = Philox.Draw(key, (uint)block, (uint)(block >> 32), 0);
            Pair(four, a, b, initialization);
            Pair(four[2..], c, d, initialization);
            four[..Math.Min(4, values.Length - index)].CopyTo(values[index..]);
        }
    }

    private static void Pair(Span<float> pair, uint first, uint second, Initialization initialization)
    {
        var radius = initialization.Deviation * Math.Sqrt(-2 * Math.Log(Philox.Open(first)));
        var (sine, cosine) = Math.SinCos(2 * Math.PI * Philox.Open(second));
        pair[0] = (float)(initialization.Mean + radius * cosine);
        pair[1] = (float)(initialization.Mean + radius * sine);
    }
}
