namespace Pipeline.Schedules;

/// <summary>How far a search for a plan has come.</summary>
/// <param name="Phase">What is being done.</param>
/// <param name="Done">Combinations that are through with it.</param>
/// <param name="Total">All that it is done with, at least 1.</param>
/// <param name="Subject">The combination that was begun last, in a few words.</param>
public sealed record PlanProgress(PlanPhase Phase, int Done, int Total, string Subject);

/// <summary>The parts of a search.</summary>
public enum PlanPhase
{
    /// <summary>Each combination is partitioned, generated and simulated.</summary>
    Simulating,

    /// <summary>Those near the fastest are simulated again with durations that differ.</summary>
    Comparing,
}
