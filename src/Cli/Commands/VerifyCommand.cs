using System.CommandLine;
using System.Text.Json;
using Pipeline.Cli.Execution;
using Pipeline.Model.Numerics;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline verify RUN</c>: some steps of a run, recomputed by the unsplit trainer and compared bit for bit.</summary>
internal static class VerifyCommand
{
    public static Command Create(CommandContext context)
    {
        Argument<string> run = new("RUN") { Description = "Directory of the run." };
        Option<int> steps = new("--steps") { HelpName = "N", Description = "Steps to recompute at most.", DefaultValueFactory = _ => 10 };
        Option<long?> from = new("--from") { HelpName = "STEP", Description = "Checkpoint to begin from, 0 for the initial state; by default the newest with recorded steps after it." };
        var json = ConfigCommand.JsonOption();
        TaughtCommand command = new("verify", "Recomputes some steps of a run in one thread and compares losses, norms and digests. Exit code 1 if a bit differs.")
        {
            Examples = [("pipeline verify runs/2026-05-01-gpt-micro-001", "ten steps after the newest checkpoint that has them"), ("pipeline verify RUN --from 0 --steps 50", "the first fifty steps")],
        };
        command.Add(run);
        command.Add(steps);
        command.Add(from);
        command.Add(json);
        command.SetAction(parsed =>
        {
            TorchRuntime.Initialize();
            using var stored = StoredRun.Open(parsed.GetValue(run)!, context, CancellationToken.None);
            var result = RunVerification.Verify(stored, Math.Max(1, parsed.GetValue(steps)), parsed.GetValue(from), context.Error.WriteLine);
            context.Output.WriteLine(parsed.GetValue(json)
                ? JsonSerializer.Serialize(result, JsonOutput.Options)
                : Sentence(result));
            return result.Difference is null ? ExitCode.Done : ExitCode.Failed;
        });
        return command;
    }

    private static string Sentence(VerificationResult result) => result.Difference is { } difference
        ? $"Not verified: {difference}."
        : $"Verified: steps {result.FromStep + 1} to {result.ThroughStep} give the same losses and norms to the last bit when recomputed from step {result.FromStep}, and so do {result.DigestCount} digests of the whole state.";
}
