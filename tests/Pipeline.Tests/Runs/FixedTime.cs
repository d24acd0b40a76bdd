namespace Pipeline.Tests.Runs;

/// <summary>A clock that stands still, in UTC.</summary>
internal sealed class FixedTime(DateTimeOffset now) : TimeProvider
{
    public FixedTime()
        : this(new DateTimeOffset(2026, 1, 31, 12, 34, 56, 789, TimeSpan.Zero))
    {
    }

    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    public override DateTimeOffset GetUtcNow() => now;
}
