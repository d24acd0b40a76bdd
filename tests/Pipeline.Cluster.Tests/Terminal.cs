using System.Diagnostics;
using Pipeline.Chaos;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>
/// A terminal as a person sits before it: a window of tmux, which emulates one, so that what is asserted is what can be seen. Tests are
/// skipped by name where there is no tmux.
/// </summary>
internal sealed class Terminal : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(180);
    private readonly string _socket = $"pipeline-test-{Environment.ProcessId}-{Guid.NewGuid():N}";

    private Terminal()
    {
    }

    /// <summary>Opens a window in which the program runs.</summary>
    /// <param name="width">Columns.</param>
    /// <param name="height">Rows.</param>
    /// <param name="variables">Beside those of this process; a shell's words.</param>
    /// <param name="words">The command line.</param>
    internal static Terminal Open(int width, int height, string variables, params string[] words)
    {
        Skip.IfNot((Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Any(folder => File.Exists(Path.Combine(folder, "tmux"))), "No tmux on the path.");
        Terminal terminal = new();
        var line = string.Join(' ', words.Select(word => $"'{word}'"));
        // CI=true would say that nobody sits here. The window stays when the program has ended.
        terminal.Tmux("-f", "/dev/null", "new-session", "-d", "-x", $"{width}", "-y", $"{height}", $"env -u CI {variables} dotnet '{Executable.Path}' {line}; echo ended with $?; exec cat");
        return terminal;
    }

    /// <summary>The screen, without the blanks at the end of its lines.</summary>
    internal string Screen => Tmux("capture-pane", "-p");

    /// <summary>The screen with the sequences that colour it.</summary>
    internal string Painted => Tmux("capture-pane", "-p", "-e");

    /// <summary>Types text as it is.</summary>
    internal void Type(string text) => Tmux("send-keys", "-l", text);

    /// <summary>Presses keys by tmux's names, such as Tab, Up, C-c.</summary>
    internal void Press(params string[] keys) => Tmux(["send-keys", .. keys]);

    /// <summary>Makes the window another size.</summary>
    internal void Resize(int width, int height) => Tmux("resize-window", "-x", $"{width}", "-y", $"{height}");

    /// <summary>Waits until the screen shows something.</summary>
    internal async Task<string> ShowsAsync(Func<string, bool> isShown, string what)
    {
        var start = Stopwatch.GetTimestamp();
        while (true)
        {
            var screen = Screen;
            if (isShown(screen)) return screen;
            Assert.True(Stopwatch.GetElapsedTime(start) < Patience, $"The terminal does not show {what}:\n{screen}");
            await Task.Delay(50);
        }
    }

    /// <inheritdoc cref="ShowsAsync(Func{string, bool}, string)"/>
    internal Task<string> ShowsAsync(string text) => ShowsAsync(screen => screen.Contains(text, StringComparison.Ordinal), text);

    /// <summary>The last line that is not empty.</summary>
    internal static string LastLine(string screen) => screen.Split('\n').Select(line => line.TrimEnd()).LastOrDefault(line => line.Length > 0) ?? "";

    public void Dispose() => Tmux("kill-server");

    private string Tmux(params string[] arguments)
    {
        ProcessStartInfo start = new("tmux") { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])["-L", _socket, .. arguments]) start.ArgumentList.Add(argument);
        start.Environment["LC_ALL"] = "C.UTF-8";
        using var tmux = Process.Start(start)!;
        var output = tmux.StandardOutput.ReadToEnd();
        tmux.WaitForExit();
        return output;
    }
}
