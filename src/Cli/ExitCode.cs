namespace Pipeline.Cli;

/// <summary>What the process's exit code says; scripts rely on it.</summary>
public static class ExitCode
{
    /// <summary>Done.</summary>
    public const int Done = 0;

    /// <summary>A failure after the first step.</summary>
    public const int Failed = 1;

    /// <summary>Everything that is found before the first step: usage, configuration, data, paths.</summary>
    public const int Refused = 2;

    /// <summary>The machine lacks something; the message names the remedy.</summary>
    public const int MachineLacks = 3;

    /// <summary>Stopped by SIGINT or SIGTERM, after saving.</summary>
    public const int Interrupted = 130;
}
