using System.Diagnostics;
using System.Runtime.Versioning;
using System.Text;
using Pipeline.Chaos;

namespace Pipeline.Cluster.Tests;

/// <summary>
/// The program on a pseudo-terminal, which <c>script</c> of util-linux makes: keys go in, what a person would see comes out. Whatever becomes
/// of the test, the program ends with it.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class PseudoTerminal : IDisposable
{
    private readonly Process _script;
    private readonly StringBuilder _seen = new();
    private readonly Task _reading;
    private int _from;

    private PseudoTerminal(Process script)
    {
        _script = script;
        _reading = ReadAsync();
    }

    /// <summary>Whether one can be made here.</summary>
    public static bool IsThere => OperatingSystem.IsLinux() && File.Exists("/usr/bin/script") && File.Exists("/usr/bin/stty");

    /// <summary>Everything that was shown so far.</summary>
    public string Seen
    {
        get
        {
            lock (_seen) return _seen.ToString();
        }
    }

    public static PseudoTerminal Start(IReadOnlyDictionary<string, string> variables, params IEnumerable<string> arguments)
    {
        var line = string.Join(' ', arguments.Prepend(Executable.Path).Prepend("dotnet").Select(word => $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'"));
        ProcessStartInfo start = new("/usr/bin/script", ["-qefc", $"stty cols 100 rows 30; exec {line}", "/dev/null"])
        {
            UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        start.Environment["TERM"] = "xterm-256color";
        start.Environment.Remove("CI");
        foreach (var (name, value) in variables) start.Environment[name] = value;
        return new PseudoTerminal(Process.Start(start)!);
    }

    /// <summary>Types.</summary>
    public void Type(string keys)
    {
        lock (_seen) _from = _seen.Length;
        _script.StandardInput.Write(keys);
        _script.StandardInput.Flush();
    }

    /// <summary>Waits until a text is shown that was not there before the last keys.</summary>
    public async Task SeeAsync(string text)
    {
        var start = TimeProvider.System.GetTimestamp();
        while (true)
        {
            lock (_seen)
            {
                if (_seen.ToString(_from, _seen.Length - _from).Contains(text, StringComparison.Ordinal)) return;
            }

            if (_reading.IsCompleted || TimeProvider.System.GetElapsedTime(start).TotalSeconds > 30) throw new TimeoutException($"'{text}' was not shown. Seen:\n{Seen}");
            await Task.Delay(20);
        }
    }

    /// <summary>Changes the window's size under the program.</summary>
    public async Task ResizeAsync(int columns, int rows)
    {
        using var stty = Process.Start("/usr/bin/stty", ["-F", DeviceOf(_script.Id), "cols", $"{columns}", "rows", $"{rows}"]);
        await stty.WaitForExitAsync();
        if (stty.ExitCode != 0) throw new InvalidOperationException($"stty ended with {stty.ExitCode}.");
    }

    /// <summary>Waits for the program's end.</summary>
    public async Task<int> EndAsync()
    {
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(30));
        await _script.WaitForExitAsync(limit.Token);
        await _reading.WaitAsync(limit.Token);
        return _script.ExitCode;
    }

    public void Dispose()
    {
        if (!_script.HasExited) _script.Kill(entireProcessTree: true);
        _script.WaitForExit(TimeSpan.FromSeconds(10));
        _script.Dispose();
    }

    /// <summary>The terminal of the child that <c>script</c> has made.</summary>
    private static string DeviceOf(int parent)
    {
        foreach (var folder in Directory.EnumerateDirectories("/proc").Where(folder => int.TryParse(Path.GetFileName(folder), out _)))
        {
            try
            {
                var status = File.ReadAllText(Path.Combine(folder, "stat"));
                var fields = status[(status.LastIndexOf(')') + 2)..].Split(' ');
                if (fields[1] == $"{parent}" && File.ResolveLinkTarget(Path.Combine(folder, "fd", "0"), returnFinalTarget: false) is { } device) return device.FullName;
            }
            catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
            {
                // Another process, which has ended meanwhile.
            }
        }

        throw new InvalidOperationException("script has no child with a terminal.");
    }

    private async Task ReadAsync()
    {
        var buffer = new char[4096];
        int count;
        while ((count = await _script.StandardOutput.ReadAsync(buffer)) > 0)
        {
            lock (_seen) _seen.Append(buffer, 0, count);
        }
    }
}
