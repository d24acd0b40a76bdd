using System.ComponentModel;
using System.Diagnostics;
using Pipeline.Operator;
using Pipeline.Protocol.Security;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>
/// Generates from a run's newest checkpoint in a process of its own: in the run's own process the tensor library's threads and memory would be
/// shared with ranks that compute.
/// </summary>
internal static class GenerationProcess
{
    private const int TokenCount = 80;
    private const int LongestPrompt = 4000;
    private const int LongestText = 4000;

    /// <summary>Runs it to its end; ended with it where somebody loses patience.</summary>
    public static async Task<CommandAnswer> RunAsync(RunFiles files, string prompt, CancellationToken cancellation)
    {
        if (prompt.Length > LongestPrompt || prompt.Contains('\0', StringComparison.Ordinal)) return new CommandAnswer(false, $"Expected a text of at most {LongestPrompt} signs.");
        // One word with an equals sign: a text that begins with dashes stays a text.
        ProcessStartInfo start = new(ThisProgram.Words[0], [.. ThisProgram.Words.Skip(1), "generate", "--run", files.Folder, "--max-tokens", $"{TokenCount}", $"--prompt={prompt}"])
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start) ?? throw new OperatorException("The program could not be started once more.");
        try
        {
            Yield(process);
            var (text, error) = (process.StandardOutput.ReadToEndAsync(cancellation), process.StandardError.ReadToEndAsync(cancellation));
            await process.WaitForExitAsync(cancellation).ConfigureAwait(false);
            return process.ExitCode == 0
                ? new CommandAnswer(true, Printable(await text.ConfigureAwait(false)))
                : new CommandAnswer(false, Printable(await error.ConfigureAwait(false)));
        }
        finally
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
        }
    }

    // The ranks come first.
    private static void Yield(Process process)
    {
        try
        {
            process.PriorityClass = ProcessPriorityClass.BelowNormal;
        }
        catch (Exception refused) when (refused is Win32Exception or InvalidOperationException)
        {
            // It has ended already, or the machine allows no other priority.
        }
    }

    private static string Printable(string text) => string.Join('\n', text.Trim().Split('\n').Select(line => SafeText.Of(line, LongestText)));
}
