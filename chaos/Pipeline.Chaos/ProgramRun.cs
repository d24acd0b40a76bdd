using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace Pipeline.Chaos;

/// <summary>
/// One start of the program. Whatever becomes of the test, the process is killed when this is disposed; nodes that it started end with it,
/// since their standard input closes.
/// </summary>
internal sealed class ProgramRun : IDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _output = new();

    private ProgramRun(Process process)
    {
        _process = process;
        process.OutputDataReceived += (_, line) => Append(line.Data);
        process.ErrorDataReceived += (_, line) => Append(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public int Id => _process.Id;

    public bool HasEnded => _process.HasExited;

    /// <summary>What it has said so far, on both streams.</summary>
    public string Output
    {
        get
        {
            lock (_output) return _output.ToString();
        }
    }

    public static ProgramRun Start(IReadOnlyDictionary<string, string> variables, params IEnumerable<string> arguments) => Start([], variables, arguments);

    public static ProgramRun Start(params IEnumerable<string> arguments) => Start(new Dictionary<string, string>(), arguments);

    /// <summary>Starts it at a place of a network.</summary>
    public static ProgramRun StartAt(IReadOnlyList<string> place, params IEnumerable<string> arguments) => Start(place, new Dictionary<string, string>(), arguments);

    /// <summary>Starts it and waits for its end.</summary>
    public static Task<(int Code, string Output)> ToEndAsync(params IEnumerable<string> arguments) => ToEndAtAsync([], arguments);

    /// <summary>Starts it at a place of a network and waits for its end.</summary>
    public static async Task<(int Code, string Output)> ToEndAtAsync(IReadOnlyList<string> place, params IEnumerable<string> arguments)
    {
        using var run = StartAt(place, arguments);
        return (await run.EndAsync(), run.Output);
    }

    private static ProgramRun Start(IReadOnlyList<string> place, IReadOnlyDictionary<string, string> variables, IEnumerable<string> arguments)
    {
        string[] words = [.. place, "dotnet", Executable.Path, .. arguments];
        ProcessStartInfo start = new(words[0], words.Skip(1)) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        // Each of hundreds of short processes would measure itself in order to be compiled better for an hour that it does not live.
        start.Environment["DOTNET_TieredPGO"] = "0";
        foreach (var (name, value) in variables) start.Environment[name] = value;
        return new ProgramRun(Process.Start(start)!);
    }

    /// <summary>Waits for its end.</summary>
    /// <exception cref="TimeoutException">It did not end in time; the message holds what it said.</exception>
    public async Task<int> EndAsync(double seconds = 240)
    {
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(seconds));
        try
        {
            await _process.WaitForExitAsync(limit.Token);
            return _process.ExitCode;
        }
        catch (OperationCanceledException late)
        {
            throw new TimeoutException($"The program did not end within {seconds} s. It said:\n{Output}", late);
        }
    }

    /// <summary>Waits until it has said something.</summary>
    /// <exception cref="TimeoutException">It ended before, or did not say it in time; the message holds what it said.</exception>
    public async Task SaysAsync(string words, double seconds = 240)
    {
        var start = TimeProvider.System.GetTimestamp();
        while (!Output.Contains(words, StringComparison.Ordinal))
        {
            if (HasEnded || TimeProvider.System.GetElapsedTime(start).TotalSeconds > seconds) throw new TimeoutException($"The program did not say '{words}'. It said:\n{Output}");
            await Task.Delay(50);
        }
    }

    public void Signal(Signal signal) => Signals.Send(Id, signal);

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.WaitForExit(TimeSpan.FromSeconds(10));
        _process.Dispose();
    }

    private void Append(string? line)
    {
        if (line is null) return;
        lock (_output) _output.AppendLine(line);
    }
}

/// <summary>Signals by their numbers on Linux.</summary>
internal enum Signal
{
    Interrupt = 2,
    Kill = 9,
    Terminate = 15,
    Continue = 18,
    Stop = 19,
}

/// <summary>Sends signals to processes that a test has started.</summary>
internal static partial class Signals
{
    public static void Send(int process, Signal signal)
    {
        if (Kill(process, (int)signal) != 0) throw new InvalidOperationException($"kill -{(int)signal} {process}: error {Marshal.GetLastPInvokeError()}");
    }

    /// <summary>Whether the process exists and is no zombie.</summary>
    public static bool IsAlive(int process)
    {
        try
        {
            // The state follows the program's name in parentheses, which may hold anything.
            var status = File.ReadAllText($"/proc/{process}/stat");
            return status[status.LastIndexOf(')') + 2] is not ('Z' or 'X');
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Waits until the process is gone, or for as long as a busy machine may take to let go of it.</summary>
    /// <returns>Whether it is gone.</returns>
    public static async Task<bool> EndsAsync(int process, double seconds = 120)
    {
        var start = TimeProvider.System.GetTimestamp();
        while (IsAlive(process) && TimeProvider.System.GetElapsedTime(start).TotalSeconds < seconds) await Task.Delay(20);
        return !IsAlive(process);
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int process, int signal);
}
