using System.ComponentModel;
using System.Diagnostics;

namespace Pipeline.Chaos;

/// <summary>
/// A network for processes that are to be cut off from each other: a namespace with an address of its own for each place, joined by a bridge that lies in
/// one more. Its addresses are nowhere else; the machine's own network is not touched. Needs Linux, root and iproute2. Removes what it made.
/// </summary>
internal sealed class CutNetwork : IDisposable
{
    private static readonly Lazy<string?> s_missing = new(FindMissing);
    private static int s_count;
    private readonly string _name = FormattableString.Invariant($"pipeline-{Environment.ProcessId}-{Interlocked.Increment(ref s_count)}");
    private readonly List<string> _spaces = [];

    /// <summary>Makes one.</summary>
    /// <param name="places">Places, each for the processes of one machine.</param>
    internal CutNetwork(int places)
    {
        try
        {
            Add(Hub);
            // One bridge for each side of a cut.
            foreach (var side in new[] { "one", "other" })
            {
                Ip("-n", Hub, "link", "add", side, "type", "bridge");
                Ip("-n", Hub, "link", "set", side, "up");
            }

            for (var place = 0; place < places; place++) Join(place);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Why there can be none here, as a sentence; null if there can.</summary>
    internal static string? Missing => s_missing.Value;

    private string Hub => _name + "-hub";

    /// <summary>The address of a place, known in this network only.</summary>
    internal static string AddressOf(int place) => FormattableString.Invariant($"10.77.0.{place + 1}");

    /// <summary>What a command line must begin with to run at a place. The process that is started becomes the command's.</summary>
    internal IReadOnlyList<string> At(int place) => ["ip", "netns", "exec", SpaceOf(place)];

    /// <summary>These places reach each other, but none of the others.</summary>
    internal void Split(params IReadOnlyList<int> places)
    {
        foreach (var place in places) Ip("-n", Hub, "link", "set", PortOf(place), "master", "other");
    }

    /// <summary>What the place says reaches nobody; it hears all.</summary>
    internal void Mute(int place) => Run("tc", ["-n", SpaceOf(place), "qdisc", "replace", "dev", "eth0", "root", "pfifo", "limit", "0"]);

    /// <summary>The place hears nobody; what it says is heard.</summary>
    internal void Deafen(int place) => Run("tc", ["-n", Hub, "qdisc", "replace", "dev", PortOf(place), "root", "pfifo", "limit", "0"]);

    /// <summary>The place reaches all others again, and they it.</summary>
    internal void Heal(int place)
    {
        Ip("-n", Hub, "link", "set", PortOf(place), "master", "one");
        Run("tc", ["-n", SpaceOf(place), "qdisc", "replace", "dev", "eth0", "root", "pfifo", "limit", "1000"]);
        Run("tc", ["-n", Hub, "qdisc", "replace", "dev", PortOf(place), "root", "pfifo", "limit", "1000"]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var space in _spaces) Run("ip", ["netns", "del", space], isRequired: false);
    }

    private void Join(int place)
    {
        var space = SpaceOf(place);
        Add(space);
        Ip("-n", Hub, "link", "add", PortOf(place), "type", "veth", "peer", "name", "eth0", "netns", space);
        Ip("-n", Hub, "link", "set", PortOf(place), "master", "one", "up");
        Ip("-n", space, "addr", "add", AddressOf(place) + "/24", "dev", "eth0");
        Ip("-n", space, "link", "set", "eth0", "up");
        Ip("-n", space, "link", "set", "lo", "up");
    }

    private void Add(string space)
    {
        Ip("netns", "add", space);
        _spaces.Add(space);
    }

    private string SpaceOf(int place) => FormattableString.Invariant($"{_name}-{place + 1}");

    private static string PortOf(int place) => FormattableString.Invariant($"port{place + 1}");

    private static string? FindMissing()
    {
        if (!OperatingSystem.IsLinux()) return "Network namespaces need Linux.";
        try
        {
            using CutNetwork probe = new(1);
            probe.Mute(0);
            probe.Heal(0);
            return null;
        }
        catch (Exception fault) when (fault is Win32Exception or InvalidOperationException)
        {
            return $"Network namespaces need root and iproute2 (ip, tc): {fault.Message}";
        }
    }

    private static void Ip(params string[] arguments) => Run("ip", arguments);

    private static void Run(string program, string[] arguments, bool isRequired = true)
    {
        ProcessStartInfo start = new(program, arguments) { UseShellExecute = false, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var said = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (isRequired && process.ExitCode != 0) throw new InvalidOperationException($"{program} {string.Join(' ', arguments)}: {said.Trim()}");
    }
}
