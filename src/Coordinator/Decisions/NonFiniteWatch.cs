using System.Globalization;
using System.Text.Json.Serialization;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>What a run does about steps whose loss or gradient norm is not finite. No step of that kind is ever applied.</summary>
/// <param name="SkippedInRow">So many of them in a row are passed over; one more is a failure.</param>
/// <param name="IdenticalFailures">At the first failure the run is rolled back to a checkpoint; at so many of the same step and micro-batch it ends.</param>
public sealed record NonFinitePolicy(int SkippedInRow, int IdenticalFailures)
{
    /// <summary>One step is passed over; a second in a row is tried twice.</summary>
    public static NonFinitePolicy Default { get; } = new(1, 2);
}

/// <summary>A step whose loss or norm is not finite.</summary>
/// <param name="Step">Step.</param>
/// <param name="MicroBatch">The first micro-batch whose loss it was; null where only the norm was not finite.</param>
public sealed record NonFiniteStep(long Step, int? MicroBatch)
{
    /// <summary>What was found.</summary>
    [JsonIgnore]
    public string Sentence => string.Create(CultureInfo.InvariantCulture, $"Step {Step}: the {(MicroBatch is { } index ? $"loss of micro-batch {index}" : "gradient norm")} is not finite");

    /// <summary>What a step amounted to, if it is one of these.</summary>
    public static NonFiniteStep? Of(long step, StepOutcome outcome) => outcome.Verdict switch
    {
        StepVerdict.Apply => null,
        StepVerdict.NonFiniteLoss => new NonFiniteStep(step, outcome.MicroBatch),
        _ => new NonFiniteStep(step, null),
    };
}

/// <summary>How often the run has failed in the same way.</summary>
/// <param name="What">The step and what was not finite of it.</param>
/// <param name="Count">How often.</param>
public sealed record CountedFailure(NonFiniteStep What, int Count);

/// <summary>What follows a step.</summary>
public enum NonFiniteVerdict
{
    /// <summary>Nothing out of the ordinary.</summary>
    GoOn,

    /// <summary>The step was passed over, and the run goes on.</summary>
    Skipped,

    /// <summary>The step was passed over when it was first run, and was applied now that it was run again: the failure was of the machine, not of the numbers.</summary>
    Revised,

    /// <summary>All go back to <see cref="NonFiniteWatch.Target"/> and try again.</summary>
    RollBack,

    /// <summary>The run ends.</summary>
    End,
}

/// <summary>
/// Follows a run's steps in their order and says what becomes of those that are not finite: the same for a pipeline and for the unsplit
/// trainer. Pure.
/// </summary>
/// <param name="policy">What is wanted.</param>
/// <param name="lastStep">The step that the run starts after.</param>
/// <param name="skippedInRow">Steps that were passed over up to and with that step.</param>
/// <param name="failures">Failures that a predecessor has counted; null for none.</param>
public sealed class NonFiniteWatch(NonFinitePolicy policy, long lastStep, int skippedInRow = 0, IReadOnlyList<CountedFailure>? failures = null)
{
    private readonly Dictionary<NonFiniteStep, int> _failures = (failures ?? []).ToDictionary(failure => failure.What, failure => failure.Count);
    private readonly SortedSet<long> _skipped = [.. Enumerable.Range(0, skippedInRow).Select(back => lastStep - back)];
    /// <summary>The last step that was read.</summary>
    public long Last { get; private set; } = lastStep;

    /// <summary>The failures so far: a successor must not begin to count anew.</summary>
    public IReadOnlyList<CountedFailure> Failures => [.. _failures.Select(failure => new CountedFailure(failure.Key, failure.Value)).OrderBy(failure => failure.What.Step)];

    private int InRow
    {
        get
        {
            var count = 0;
            while (_skipped.Contains(Last - count)) count++;
            return count;
        }
    }

    /// <summary>Takes note of a step; a repeated report of one says nothing.</summary>
    public NonFiniteVerdict Read(long step, NonFiniteStep? fault)
    {
        if (step <= Last) return NonFiniteVerdict.GoOn;
        Last = step;
        if (fault is null) return _skipped.Remove(step) ? NonFiniteVerdict.Revised : NonFiniteVerdict.GoOn;
        var isNew = _skipped.Add(step);
        if (InRow <= policy.SkippedInRow) return isNew ? NonFiniteVerdict.Skipped : NonFiniteVerdict.GoOn;
        var count = _failures[fault] = _failures.GetValueOrDefault(fault) + 1;
        _skipped.Remove(step);
        return count < policy.IdenticalFailures ? NonFiniteVerdict.RollBack : NonFiniteVerdict.End;
    }

    /// <summary>The state to go back to after a failure: the newest before the first step of the row, since what led to it may lie in the weights.</summary>
    /// <param name="saved">Steps whose state can be had.</param>
    public long Target(IEnumerable<long> saved)
    {
        var first = Last;
        while (_skipped.Contains(first - 1)) first--;
        var known = saved.Order().ToArray();
        return known.Where(step => step < first).DefaultIfEmpty(known[0]).Max();
    }

    /// <summary>All run again from the end of a step.</summary>
    public void RestartFrom(long step) => Last = step;

    /// <summary>Why the run ends, and the ways out.</summary>
    public string Ending(NonFiniteStep fault)
    {
        var before = policy.SkippedInRow > 0 ? string.Create(CultureInfo.InvariantCulture, $", and {policy.SkippedInRow} before it had been passed over") : "";
        var tries = policy.IdenticalFailures > 1 ? string.Create(CultureInfo.InvariantCulture, $" It was the same in {policy.IdenticalFailures} tries, with the run rolled back between them (run.identical-failures).") : "";
        return $"{fault.Sentence}{before}.{tries} Lower optimizer.learning-rate, look at the samples of that step, or resume with a larger run.skipped-in-row to pass over more steps in a row.";
    }
}
