namespace Pipeline.Schedules;

/// <summary>
/// A schedule, partition or mesh that cannot be used as asked, by the user's choice of settings or by the content of a
/// schedule file. The message says what was expected, what was found and what to change.
/// </summary>
public sealed class ScheduleException : Exception
{
    public ScheduleException()
    {
    }

    public ScheduleException(string message)
        : base(message)
    {
    }

    public ScheduleException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
