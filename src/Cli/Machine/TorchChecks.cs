using Pipeline.Cli.Configuration;
using TorchSharp;

namespace Pipeline.Cli.Machine;

/// <summary>Whether the tensor library loads, has the device, and what it can do.</summary>
internal static class TorchChecks
{
    public static IEnumerable<Finding> All(RunSettings settings, string cacheFolder)
    {
        var library = Library();
        yield return library;
        if (library.Level == FindingLevel.Lacking) yield break;
        yield return Device(settings.Device);
        yield return Bf16(PrecisionProbe.Measure(cacheFolder));
        yield return Bits(BitProbe.Run());
    }

    /// <summary>The tensor library by its versions; loads it.</summary>
    internal static string Version => $"libtorch {torch.__version__}, TorchSharp {typeof(torch).Assembly.GetName().Version?.ToString(3)}";

    private static Finding Library()
    {
        try
        {
            using var one = torch.ones(1);
            return Finding.Fine("torch", Version);
        }
        catch (Exception failed) when (failed is DllNotFoundException or TypeInitializationException or NotSupportedException or BadImageFormatException or EntryPointNotFoundException)
        {
            var cause = (failed.InnerException ?? failed).Message.Split('\n')[0].Trim();
            return Finding.Lacking("torch", $"does not load: {cause}", "Restore the packages again (./pipeline.sh builds what is missing); on Linux see libstdc++ above.");
        }
    }

    private static Finding Device(string device)
    {
        if (device == "cpu") return Finding.Fine("device", "cpu");
        if (!torch.cuda.is_available())
            return Finding.Lacking("device", $"{device} is asked for, but no CUDA device is available", "Set device = cpu, or build with -p:Torch=cuda on a machine with a GPU.");
        return Finding.Fine("device", $"{device}, one of {torch.cuda.device_count()}");
    }

    private static Finding Bf16(PrecisionFigures figures)
    {
        var speeds = $"{figures.Bf16GigaFlops:0} GFLOP/s against {figures.Fp32GigaFlops:0} in fp32 (one thread), {figures.Ratio:0.0} times";
        return Finding.Fine("bf16 products", $"{speeds}; precision = auto chooses {(figures.IsBf16Fast ? "bf16" : "fp32")}");
    }

    private static Finding Bits(BitReport report) => report.Differences.Count == 0
        ? Finding.Fine("same bits", $"at every alignment and on every thread ({report.ComparisonCount} comparisons)")
        : Finding.Notice("same bits", $"{report.Differences.Count} of {report.ComparisonCount} comparisons differ: {string.Join(", ", report.Differences.Distinct())}",
            "Runs stay equal where buffers are aligned, as they are here; for foreign tensors set MKL_CBWR=COMPATIBLE before the start.");
}
