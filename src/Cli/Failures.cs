using Pipeline.Checkpoints;
using Pipeline.Cli.Configuration;
using Pipeline.Data;
using Pipeline.Protocol.Security;
using Pipeline.Runs;
using Pipeline.Schedules;

namespace Pipeline.Cli;

/// <summary>Which exception ends the process with which code, and what is said about it.</summary>
internal static class Failures
{
    /// <summary>Writes the message of a failure: its sentences only, the stack as well where <paramref name="verbose"/>.</summary>
    /// <returns>The exit code.</returns>
    public static int Report(Exception failure, TextWriter error, bool verbose)
    {
        var (code, isForeseen) = Judge(failure);
        error.WriteLine(isForeseen
            ? failure is OperationCanceledException ? "Interrupted." : failure.Message
            : $"An error of the program itself: {FirstLine(failure)} Run again with --verbose for where it happened, and report it.");
        if (verbose) error.WriteLine(failure);
        return code;
    }

    private static (int Code, bool IsForeseen) Judge(Exception failure) => failure switch
    {
        ConfigurationException or UsageException => (ExitCode.Refused, true),
        MachineException => (ExitCode.MachineLacks, true),
        DataException or ScheduleException or CheckpointException or RunException or SecurityException => (ExitCode.Refused, true),
        IOException or UnauthorizedAccessException => (ExitCode.Refused, true),
        OperationCanceledException => (ExitCode.Interrupted, true),
        _ => (ExitCode.Failed, false),
    };

    private static string FirstLine(Exception failure) => $"{failure.GetType().Name}: {failure.Message.Split('\n')[0].Trim()}";
}
