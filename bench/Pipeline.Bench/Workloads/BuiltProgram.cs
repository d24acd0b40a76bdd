using System.Diagnostics;

namespace Pipeline.Bench.Workloads;

/// <summary>The program as it was built beside the benchmarks, run as its user runs it.</summary>
internal static class BuiltProgram
{
    /// <summary>What it prints.</summary>
    /// <exception cref="InvalidOperationException">It did not end with 0; the message has all that it said.</exception>
    public static async Task<string> RunAsync(IEnumerable<string> arguments)
    {
        ProcessStartInfo start = new("dotnet") { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in arguments.Prepend(File())) start.ArgumentList.Add(argument);
        using var process = Process.Start(start)!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync().ConfigureAwait(false);
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"pipeline {string.Join(' ', start.ArgumentList.Skip(1))} ended with {process.ExitCode}:\n{await error.ConfigureAwait(false)}{await output.ConfigureAwait(false)}");
        return await output.ConfigureAwait(false);
    }

    /// <summary>Where it lies.</summary>
    /// <exception cref="FileNotFoundException">It is not built.</exception>
    public static string File()
    {
        var here = new DirectoryInfo(AppContext.BaseDirectory);
        var program = Path.Combine(here.Parent!.Parent!.FullName, "Pipeline.Cli", here.Name, "pipeline.dll");
        return System.IO.File.Exists(program) ? program : throw new FileNotFoundException($"The program is not built: expected {program}. Run `./pipeline.sh doctor` once, which builds it.");
    }
}
