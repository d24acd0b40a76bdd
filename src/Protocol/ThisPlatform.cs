using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using System.Text;

namespace Pipeline.Protocol;

/// <summary>Reads the fingerprint of the machine and the process that this code runs in.</summary>
public static class ThisPlatform
{
    /// <summary>Reads it.</summary>
    /// <param name="tensorLibrary">Name and version of the tensor library.</param>
    public static PlatformFingerprint Fingerprint(string tensorLibrary) => new(
        typeof(ThisPlatform).Assembly.GetName().Version?.ToString(3) ?? "unknown",
        PlatformFingerprint.CurrentWire,
        $"{RuntimeInformation.ProcessArchitecture} {Vendor()}".TrimEnd(),
        [.. Features().Order(StringComparer.Ordinal)],
        Environment.Version.ToString(),
        tensorLibrary);

    private static string Vendor()
    {
        if (!X86Base.IsSupported) return "";
        var (_, ebx, ecx, edx) = X86Base.CpuId(0, 0);
        return Encoding.ASCII.GetString([.. BitConverter.GetBytes(ebx), .. BitConverter.GetBytes(edx), .. BitConverter.GetBytes(ecx)]);
    }

    private static IEnumerable<string> Features()
    {
        if (Fma.IsSupported) yield return "fma";
        if (Avx2.IsSupported) yield return "avx2";
        if (Avx512F.IsSupported) yield return "avx512f";
        if (Avx512BW.IsSupported) yield return "avx512bw";
        if (AdvSimd.IsSupported) yield return "advsimd";
        if (Dp.IsSupported) yield return "dotprod";
        if (!X86Base.IsSupported || X86Base.CpuId(0, 0).Eax < 7) yield break;
        var extended = X86Base.CpuId(7, 1).Eax;
        if ((extended & (1 << 4)) != 0) yield return "avx_vnni";
        if ((extended & (1 << 5)) != 0) yield return "avx512_bf16";
        if ((X86Base.CpuId(7, 0).Edx & (1 << 22)) != 0) yield return "amx_bf16";
    }
}
