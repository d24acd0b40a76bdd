using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Pipeline.Data;

/// <summary>
/// Finds the XML reference documentation that comes with the installed .NET SDK
/// (<c>packs/Microsoft.NETCore.App.Ref/VERSION/ref/netX.Y/*.xml</c>): English text that every machine able to build this program has.
/// </summary>
/// <param name="Description">For people: the version that was found.</param>
/// <param name="Files">The XML files, ordered by name.</param>
internal sealed record ReferenceDocumentation(string Description, List<CorpusFile> Files)
{
    /// <summary>Signatures of processor instructions rather than English, and a seventh of the whole to read.</summary>
    private const string IntrinsicsFileName = "System.Runtime.Intrinsics.xml";

    /// <exception cref="DataException">No .NET root with reference documentation was found.</exception>
    public static ReferenceDocumentation Locate() => Locate(DotnetRoots().Distinct(StringComparer.Ordinal).ToList());

    internal static ReferenceDocumentation Locate(IReadOnlyList<string> roots)
    {
        foreach (string root in roots)
        {
            if (TryLocate(root, out ReferenceDocumentation? found))
                return found;
        }
        throw new DataException("No corpus is named, and the SDK's reference documentation (packs/Microsoft.NETCore.App.Ref) was not found below "
            + $"{string.Join(", ", roots)}. Install a .NET SDK, set DOTNET_ROOT, or name a corpus with --data.");
    }

    private static IEnumerable<string> DotnetRoots()
    {
        // <root>/shared/Microsoft.NETCore.App/<version>/
        string runtime = Path.TrimEndingDirectorySeparator(RuntimeEnvironment.GetRuntimeDirectory());
        if (Path.GetDirectoryName(Path.GetDirectoryName(Path.GetDirectoryName(runtime))) is { } runningRoot)
            yield return runningRoot;
        if (Environment.GetEnvironmentVariable("DOTNET_ROOT") is { Length: > 0 } namedRoot)
            yield return namedRoot;
        string executable = OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet";
        foreach (string folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            FileInfo file = new(Path.Combine(folder, executable));
            if (file.Exists && Path.GetDirectoryName((file.ResolveLinkTarget(returnFinalTarget: true) ?? file).FullName) is { } root)
                yield return root;
        }
    }

    private static bool TryLocate(string root, [NotNullWhen(true)] out ReferenceDocumentation? found)
    {
        found = null;
        string pack = Path.Combine(root, "packs", "Microsoft.NETCore.App.Ref");
        if (!Directory.Exists(pack))
            return false;
        var versions = Directory.GetDirectories(pack)
            .Select(folder => (Folder: folder, Version: ParseVersion(Path.GetFileName(folder))))
            .OrderByDescending(candidate => candidate.Version)
            .ThenBy(candidate => candidate.Folder, StringComparer.Ordinal);
        foreach (var (folder, _) in versions)
        {
            List<CorpusFile> files = FilesOf(Path.Combine(folder, "ref"));
            if (files.Count == 0)
                continue;
            found = new ReferenceDocumentation($"the reference documentation of .NET {Path.GetFileName(folder)}", files);
            return true;
        }
        return false;
    }

    // Previews ("11.0.0-preview.1") sort below the release of the same number.
    private static (Version Number, bool IsRelease) ParseVersion(string name)
    {
        string[] parts = name.Split('-', 2);
        return (Version.TryParse(parts[0], out Version? number) ? number : new Version(), parts.Length == 1);
    }

    private static List<CorpusFile> FilesOf(string folder) => !Directory.Exists(folder)
        ? []
        : Directory.GetDirectories(folder, "net*")
            .SelectMany(frameworkFolder => Directory.GetFiles(frameworkFolder, "*.xml"))
            .Where(path => Path.GetFileName(path) != IntrinsicsFileName)
            .Select(path => new CorpusFile(path, Path.GetFileName(path), CorpusFileKind.ReferenceDocumentation))
            .OrderBy(file => file.Name, StringComparer.Ordinal)
            .ToList();
}
