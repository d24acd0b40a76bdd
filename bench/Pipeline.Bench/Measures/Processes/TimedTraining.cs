using System.Diagnostics;
using System.Globalization;
using Pipeline.Bench.Workloads;
using Pipeline.Runs;

namespace Pipeline.Bench.Measures.Processes;

/// <summary>
/// A run of the program itself, timed from outside by when the line of each step is written: what the run says of itself leaves out what it does between steps.
/// It is ended as soon as all was seen that is to be measured.
/// </summary>
internal static class TimedTraining
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(10);

    /// <summary>Settings of every run: nothing happens beside the steps.</summary>
    private static readonly string[] s_quiet =
        ["run.eval-every=0", "run.digest-every=0", "run.trace-steps=0", "run.sample-tokens=0", "run.progress-every=1000", "checkpoint.every=0"];

    /// <summary>Words that make any preset a tiny model.</summary>
    public static IReadOnlyList<string> Tiny { get; } =
        Settings("model.layers=2", "model.width=32", "model.heads=2", "model.context=32", "model.vocabulary=257", "schedule.micro-batch-size=2");

    /// <summary>Words of the command line for settings.</summary>
    public static IReadOnlyList<string> Settings(params IEnumerable<string> settings) => [.. settings.SelectMany(setting => new[] { "--set", setting })];

    /// <summary>Trains.</summary>
    /// <param name="steps">Steps to time.</param>
    /// <param name="arguments">Words of <c>train</c>.</param>
    /// <returns>Seconds of the steps from the second on: each from the line of the one before it to its own.</returns>
    public static double[] StepSeconds(int steps, params IEnumerable<string> arguments)
    {
        var folder = Directory.CreateTempSubdirectory("pipeline-timed-");
        try
        {
            var run = Path.Combine(folder.FullName, "run");
            using var process = Start([
                "train", "--run", run, "--steps", string.Create(CultureInfo.InvariantCulture, $"{steps + 1_000_000}"), .. Settings([.. s_quiet, "optimizer.horizon=1000"]), .. arguments]);
            try
            {
                var lines = Lines(new RunFiles(run).Metrics, steps, process);
                return [.. lines.Skip(1).Zip(lines, (later, earlier) => Stopwatch.GetElapsedTime(earlier, later).TotalSeconds)];
            }
            finally
            {
                process.Kill(entireProcessTree: true);
                process.WaitForExit();
            }
        }
        finally
        {
            Remove(folder);
        }
    }

    private static Process Start(IReadOnlyList<string> words)
    {
        ProcessStartInfo start = new("dotnet", [BuiltProgram.File(), .. words]) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        var process = Process.Start(start) ?? throw new InvalidOperationException("dotnet did not start.");
        // Read, so that it never waits for a reader.
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, line) =>
        {
            if (line.Data is { Length: > 0 } text) Console.Error.WriteLine(text);
        };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }

    /// <summary>When each line of a file that grows was seen, to about a millisecond.</summary>
    private static List<long> Lines(string path, int count, Process process)
    {
        List<long> seen = [];
        var buffer = new byte[1 << 16];
        var start = Stopwatch.GetTimestamp();
        FileStream? stream = null;
        try
        {
            while (seen.Count < count)
            {
                if (process.HasExited) throw new InvalidOperationException($"The run ended with {process.ExitCode} after {seen.Count} steps.");
                if (Stopwatch.GetElapsedTime(start) > s_patience) throw new TimeoutException($"Only {seen.Count} of {count} steps within {s_patience.TotalMinutes} minutes.");
                if (stream is null && File.Exists(path)) stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
                var read = stream?.Read(buffer) ?? 0;
                var now = Stopwatch.GetTimestamp();
                seen.AddRange(Enumerable.Repeat(now, buffer.AsSpan(0, read).Count((byte)'\n')));
                if (read == 0) Task.Delay(1).Wait();
            }

            return seen;
        }
        finally
        {
            stream?.Dispose();
        }
    }

    /// <summary>What was killed may still hold its files for a moment.</summary>
    private static void Remove(DirectoryInfo folder)
    {
        for (var tries = 0; ; tries++)
        {
            try
            {
                folder.Delete(recursive: true);
                return;
            }
            catch (IOException) when (tries < 20)
            {
                Task.Delay(100).Wait();
            }
        }
    }
}
