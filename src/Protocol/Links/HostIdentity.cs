namespace Pipeline.Protocol.Links;

/// <summary>Tells whether two processes can share a Unix socket: same boot of the same machine, same view of its files.</summary>
public static class HostIdentity
{
    /// <summary>That of this process. Containers of one machine differ, since each has a file system of its own.</summary>
    public static string Current { get; } = Read();

    private static string Read()
    {
        const string boot = "/proc/sys/kernel/random/boot_id";
        if (!OperatingSystem.IsLinux() || !File.Exists(boot)) return Environment.MachineName;
        var files = new FileInfo("/proc/self/ns/mnt").LinkTarget ?? "";
        return $"{File.ReadAllText(boot).Trim()}/{files}";
    }
}
