using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using static TorchSharp.torch;

namespace Pipeline.Cli.Machine;

/// <summary>Speed of matrix products on one thread.</summary>
/// <param name="Fp32GigaFlops">In fp32, 10⁹ operations a second.</param>
/// <param name="Bf16GigaFlops">In bf16.</param>
public sealed record PrecisionFigures(double Fp32GigaFlops, double Bf16GigaFlops)
{
    /// <summary>
    /// Products take most of a step but not all of it, and bf16 adds casts: below this ratio it gains nothing.
    /// </summary>
    public const double WorthwhileRatio = 1.5;

    /// <summary>bf16 over fp32.</summary>
    public double Ratio => Bf16GigaFlops / Fp32GigaFlops;

    /// <summary>Whether <c>precision = auto</c> is bf16 here.</summary>
    public bool IsBf16Fast => Ratio >= WorthwhileRatio;
}

/// <summary>Measures whether bf16 products are fast, once for each processor and library; the result is cached.</summary>
public static class PrecisionProbe
{
    private const int Size = 1024;

    // Where the library emulates bf16 (0.6 GFLOP/s on an AVX2 processor) one large product takes seconds: a small one tells as well.
    private const int ScreeningSize = 192;
    private static readonly TimeSpan Budget = TimeSpan.FromMilliseconds(300);

    /// <summary>The figures kept in <paramref name="cacheFolder"/>, or fresh ones, which are then kept there.</summary>
    /// <param name="cacheFolder">Folder that survives runs; where it cannot be written the figures are measured each time.</param>
    public static PrecisionFigures Measure(string cacheFolder)
    {
        var path = Path.Combine(cacheFolder, $"products-{Fingerprint()}.json");
        if (Read(path) is { } known) return known;
        var figures = Measure();
        Keep(path, figures);
        return figures;
    }

    /// <summary>Measures on a thread of its own, whose thread count does not disturb others.</summary>
    public static PrecisionFigures Measure() => ProbeThread.Run(1, MeasureHere)[0];

    private static PrecisionFigures MeasureHere()
    {
        var screening = MeasureHere(ScreeningSize);
        return screening.Ratio < 0.5 ? screening : MeasureHere(Size);
    }

    private static PrecisionFigures MeasureHere(int size) => new(GigaFlops(ScalarType.Float32, size), GigaFlops(ScalarType.BFloat16, size));

    /// <summary>The best of several products: other load only ever slows one down.</summary>
    private static double GigaFlops(ScalarType type, int size)
    {
        using var scope = NewDisposeScope();
        using var mode = no_grad();
        var left = ones(size, size, dtype: type);
        var right = ones(size, size, dtype: type);
        left.matmul(right).Dispose();
        var best = TimeSpan.MaxValue;
        var start = Stopwatch.GetTimestamp();
        for (var round = 0; round < 3 || (round < 30 && Stopwatch.GetElapsedTime(start) < Budget); round++)
        {
            var begin = Stopwatch.GetTimestamp();
            left.matmul(right).Dispose();
            var elapsed = Stopwatch.GetElapsedTime(begin);
            if (elapsed < best) best = elapsed;
        }

        return 2.0 * size * size * size / best.TotalSeconds / 1e9;
    }

    /// <summary>Processor, its features and the library's version: what the figures depend on.</summary>
    private static string Fingerprint()
    {
        var processor = File.Exists("/proc/cpuinfo")
            ? string.Join("\n", File.ReadLines("/proc/cpuinfo").TakeWhile(line => line.Length > 0)
                .Where(line => line.StartsWith("model name", StringComparison.Ordinal) || line.StartsWith("flags", StringComparison.Ordinal)))
            : Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER") ?? System.Runtime.InteropServices.RuntimeInformation.OSDescription;
        var bytes = SHA256.HashData(Encoding.UTF8.GetBytes($"{processor}\n{__version__}\n{Size}"));
        return Convert.ToHexStringLower(bytes)[..16];
    }

    private static PrecisionFigures? Read(string path)
    {
        try
        {
            var figures = JsonSerializer.Deserialize<PrecisionFigures>(File.ReadAllText(path));
            return figures is { Fp32GigaFlops: > 0, Bf16GigaFlops: > 0 } ? figures : null;
        }
        catch (Exception absent) when (absent is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    /// <summary>Writes aside and renames, since several runs may start at once.</summary>
    private static void Keep(string path, PrecisionFigures figures)
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            var aside = path + "." + Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
            File.WriteAllText(aside, JsonSerializer.Serialize(figures));
            File.Move(aside, path, overwrite: true);
        }
        catch (Exception unwritable) when (unwritable is IOException or UnauthorizedAccessException)
        {
            // The figures are only dearer next time; the doctor reports the folder.
        }
    }
}
