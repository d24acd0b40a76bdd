using System.Diagnostics;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>
/// A file system of its own in memory, for faults that only a disk has. Needs Linux and the right to mount; a test without them is
/// skipped by name.
/// </summary>
internal sealed class SmallDisk : IDisposable
{
    private SmallDisk(string path) => Path = path;

    /// <summary>Where it is mounted.</summary>
    public string Path { get; }

    /// <summary>Mounts an empty disk.</summary>
    /// <exception cref="SkipException">This process may not mount.</exception>
    public static SmallDisk Mount(string path, int kibibytes)
    {
        Skip.IfNot(OperatingSystem.IsLinux() && Environment.IsPrivilegedProcess, "Mounting a small disk needs Linux and root.");
        Directory.CreateDirectory(path);
        Skip.IfNot(Succeeds("mount", "-t", "tmpfs", "-o", $"size={kibibytes}k", "pipeline-test", path), "This system does not let root mount a tmpfs.");
        return new SmallDisk(path);
    }

    /// <summary>Nothing can be written from here on.</summary>
    public void MakeReadOnly() => Assert.True(Succeeds("mount", "-o", "remount,ro", Path));

    /// <summary>Leaves so many bytes free.</summary>
    public void FillUpTo(long freeBytes)
    {
        using var ballast = new FileStream(Ballast, FileMode.Create);
        ballast.Write(new byte[new DriveInfo(Path).AvailableFreeSpace - freeBytes]);
    }

    /// <summary>Frees what was filled.</summary>
    public void Empty() => File.Delete(Ballast);

    public void Dispose()
    {
        // Lazily: whatever still has a file open there must not keep the test's folder from being removed.
        Succeeds("umount", "-l", Path);
    }

    private string Ballast => System.IO.Path.Combine(Path, "ballast");

    private static bool Succeeds(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardError = true, RedirectStandardOutput = true })!;
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }
}
