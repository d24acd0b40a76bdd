using System.Globalization;
using Pipeline.Reduction.Compression;

namespace Pipeline.Tests.Reduction;

/// <summary>Compressors by the names that the tests' tables show.</summary>
internal static class Compressors
{
    internal static ICompressor Of(string name)
    {
        var words = name.Split(' ');
        var rounding = words[^1] == "stochastic" ? Rounding.Stochastic : Rounding.Nearest;
        return words[0] switch
        {
            "none" => new Uncompressed(),
            "bf16" => new BFloat16Compressor(rounding),
            "int8" => new BlockCompressor(CompressionKind.Int8, rounding),
            "one-bit" => new OneBitCompressor(),
            "int4" => new BlockCompressor(CompressionKind.Int4, rounding),
            _ => new TopKCompressor(double.Parse(words[1], CultureInfo.InvariantCulture)),
        };
    }
}
