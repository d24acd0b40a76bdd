using System.Reflection;
using System.Runtime.InteropServices;
using Pipeline.Model.Numerics;
using TorchSharp;

namespace Pipeline.Bench.Reports;

/// <summary>What a reader must know of the machine and the libraries.</summary>
internal static class Machine
{
    /// <summary>The processor as the system names it.</summary>
    public static string ProcessorName => FirstLine("/proc/cpuinfo", "model name") is { } line
        ? line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim()
        : RuntimeInformation.ProcessArchitecture.ToString();

    /// <summary>Operating system and architecture.</summary>
    public static string SystemName => $"{RuntimeInformation.OSDescription} {RuntimeInformation.OSArchitecture}";

    /// <summary>The load averages, where the system tells them: other work falsifies timings.</summary>
    public static string Load => File.Exists("/proc/loadavg") ? string.Join(' ', File.ReadAllText("/proc/loadavg").Split(' ').Take(3)) : "unknown";

    /// <summary>Runtime, TorchSharp, libtorch.</summary>
    public static string Versions => $"{RuntimeInformation.FrameworkDescription}, TorchSharp {TorchSharpVersion}, libtorch {torch.__version__}";

    /// <summary>How bf16 products are computed here.</summary>
    public static string Bf16Products => Products.WidensBf16OnCpu
        ? "This processor has no wide bf16 arithmetic: bf16 products are widened to fp32, multiplied and rounded once, so their peak is at most that of fp32."
        : "bf16 products run in the library's own bf16 kernels.";

    private static string TorchSharpVersion =>
        typeof(torch).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown";

    private static string? FirstLine(string path, string start) => File.Exists(path)
        ? File.ReadLines(path).FirstOrDefault(line => line.StartsWith(start, StringComparison.Ordinal))
        : null;
}
