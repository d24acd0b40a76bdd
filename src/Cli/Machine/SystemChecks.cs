using System.Runtime.InteropServices;
using Pipeline.Cli.Configuration;

namespace Pipeline.Cli.Machine;

/// <summary>System, C and C++ library, SDK, cores, memory.</summary>
internal static partial class SystemChecks
{
    public const string StandardLibrary = "libstdc++";

    /// <summary>The newest symbol version that TorchSharp's native library asks for (GCC 13.2).</summary>
    internal const string NeededSymbol = "GLIBCXX_3.4.32";

    private const double GigaByte = 1e9;

    public static IEnumerable<Finding> All(RunSettings settings)
    {
        yield return Platform();
        if (OperatingSystem.IsLinux())
        {
            yield return CLibrary();
            yield return CppLibrary();
        }

        yield return Sdk();
        yield return Cores(Environment.ProcessorCount, settings.Step.RankCount, settings.ThreadsPerStage);
        yield return Memory();
    }

    private static Finding Platform()
    {
        var found = $"{RuntimeInformation.OSDescription.Trim()}, {RuntimeInformation.OSArchitecture}, .NET {Environment.Version}";
        var isSupported = (OperatingSystem.IsMacOS() && RuntimeInformation.OSArchitecture == Architecture.Arm64)
            || ((OperatingSystem.IsLinux() || OperatingSystem.IsWindows()) && RuntimeInformation.OSArchitecture == Architecture.X64);
        return isSupported
            ? Finding.Fine("system", found)
            : Finding.Lacking("system", found, "There is no tensor library for it: use Linux x64, Windows x64 or macOS arm64.");
    }

    private static Finding CLibrary()
    {
        try
        {
            return Finding.Fine("libc", "glibc " + Marshal.PtrToStringUTF8(GetLibcVersion()));
        }
        catch (Exception missing) when (missing is EntryPointNotFoundException or DllNotFoundException)
        {
            return Finding.Lacking("libc", "not glibc (musl?)", "There is no tensor library for musl: use a distribution with glibc, such as Debian or Ubuntu.");
        }
    }

    private static Finding CppLibrary()
    {
        const string remedy = "Run ./pipeline.sh with --install as root: it installs a newer libstdc++6, or names the commands.";
        if (!NativeLibrary.TryLoad("libstdc++.so.6", out _)) return Finding.Lacking(StandardLibrary, "libstdc++.so.6 is not installed", remedy);
        var path = File.ReadLines("/proc/self/maps").Select(line => line[(line.IndexOf('/', StringComparison.Ordinal) + 1)..])
            .FirstOrDefault(file => file.Contains("libstdc++.so", StringComparison.Ordinal));
        if (path is null) return Finding.Notice(StandardLibrary, "loaded, but its file is unknown", "If torch fails to load, install a newer libstdc++6.");
        return HasSymbol("/" + path)
            ? Finding.Fine(StandardLibrary, $"/{path} has {NeededSymbol}")
            : Finding.Lacking(StandardLibrary, $"/{path} lacks {NeededSymbol}, which the tensor library needs", remedy);
    }

    internal static bool HasSymbol(string path) => File.ReadAllBytes(path).AsSpan().IndexOf("GLIBCXX_3.4.32\0"u8) >= 0;

    /// <summary>Building needs an SDK; running does not. Its reference documentation is the default corpus.</summary>
    private static Finding Sdk()
    {
        var root = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."));
        var folder = Path.Combine(root, "sdk");
        var versions = Directory.Exists(folder) ? Directory.GetDirectories(folder).Select(Path.GetFileName).Where(name => name!.StartsWith("10.", StringComparison.Ordinal)).ToArray() : [];
        if (versions.Length == 0)
            return Finding.Notice("SDK", $"no .NET 10 SDK in {root}", "Install it to build, and for the default corpus; or name a corpus with --data.");
        return Directory.Exists(Path.Combine(root, "packs", "Microsoft.NETCore.App.Ref"))
            ? Finding.Fine("SDK", $"{string.Join(", ", versions)} in {root}, with reference documentation")
            : Finding.Notice("SDK", $"{string.Join(", ", versions)} in {root}, without reference documentation", "The default corpus is missing: name one with --data.");
    }

    internal static Finding Cores(int coreCount, int stageCount, int threadsPerStage)
    {
        var wanted = stageCount * threadsPerStage;
        var found = $"{coreCount}; the settings use {stageCount} stages × {threadsPerStage} threads";
        return wanted <= coreCount
            ? Finding.Fine("cores", found)
            : Finding.Notice("cores", found, $"Stages will wait for each other: --stages {Math.Max(1, coreCount / threadsPerStage)} fits this machine.");
    }

    private static Finding Memory()
    {
        var total = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / GigaByte;
        return total >= 2
            ? Finding.Fine("memory", $"{total:0.0} GB")
            : Finding.Notice("memory", $"{total:0.0} GB", "The default run needs about 2 GB: take --preset gpt-nano, or free some memory.");
    }

    [LibraryImport("libc", EntryPoint = "gnu_get_libc_version")]
    private static partial IntPtr GetLibcVersion();
}
