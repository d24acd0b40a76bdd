namespace Pipeline.Schedules;

/// <summary>One reason why a schedule cannot run.</summary>
/// <param name="Rank">The rank concerned.</param>
/// <param name="Position">The place in the rank's list, from 0; the list's length where something is missing.</param>
/// <param name="Message">What was expected and found.</param>
public sealed record ScheduleProblem(int Rank, int Position, string Message)
{
    /// <summary>The rank, the place counted from 1, and the message.</summary>
    public override string ToString() => $"rank {Rank}, action {Position + 1}: {Message}";
}
