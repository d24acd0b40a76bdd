using Pipeline.Checkpoints;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>How long to wait after a failed save, and when to give the last one up. Pure.</summary>
/// <param name="FirstDelay">Wait after the first failure; doubled after each further one.</param>
/// <param name="LongestDelay">Never longer.</param>
/// <param name="FinalTryCount">Tries of the save at the run's end before the run counts as failed.</param>
public sealed record SaveRetry(TimeSpan FirstDelay, TimeSpan LongestDelay, int FinalTryCount)
{
    /// <summary>1 s, doubled up to 5 minutes; four tries at the end.</summary>
    public static SaveRetry Default { get; } = new(TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(5), 4);

    /// <summary>Wait after so many failures in a row.</summary>
    public TimeSpan DelayAfter(int failureCount)
    {
        var doubled = FirstDelay * Math.Pow(2, Math.Min(failureCount - 1, 30));
        return doubled < LongestDelay ? doubled : LongestDelay;
    }
}

/// <summary>What follows a failed save.</summary>
/// <param name="GivesUp">The state at the run's end could not be saved in all tries.</param>
/// <param name="Delay">Otherwise the wait before the next try.</param>
internal readonly record struct SaveDecision(bool GivesUp, TimeSpan Delay);

/// <summary>Where the run's checkpoints stand: what was asked for, what exists, how often it failed. No actor, no file.</summary>
internal sealed class SaveProgress(int rankCount, long startStep, SaveRetry retry, int firstAttempt = 0)
{
    private readonly CheckpointLedger _ledger = new(rankCount, firstAttempt);
    private readonly SortedSet<long> _saved = [startStep];
    private int _failuresInRow;
    private int _finalFailures;
    private long _lastFailed;
    private (int LastAttempt, long Step) _void = (int.MinValue, 0);

    /// <summary>The newest step whose save was asked for; at first the step that the run starts from.</summary>
    internal long LastIssued { get; private set; } = startStep;

    /// <summary>The newest step of which a checkpoint exists.</summary>
    internal long LastSaved { get; private set; } = startStep;

    /// <summary>Whether the newest save failed and none has succeeded since.</summary>
    internal bool NeedsRetry => LastSaved < _lastFailed;

    /// <summary>Whether the end of a save is not known yet.</summary>
    internal bool IsSaving => _ledger.HasOpen;

    /// <summary>
    /// Steps whose state can be had, oldest first: the newest checkpoints, as many as are kept, and the initial weights. Those that are being made have
    /// older ones pruned when they exist.
    /// </summary>
    internal IReadOnlyList<long> Kept(int count)
    {
        var newest = _saved.Union(_ledger.CommittingSteps).Order().TakeLast(count).ToHashSet();
        long[] kept = [.. _saved.Where(step => step == 0 || newest.Contains(step))];
        return kept.Length > 0 ? kept : [_saved.Max];
    }

    /// <inheritdoc cref="CheckpointLedger.Resize"/>
    internal void Resize(int count) => _ledger.Resize(count);

    internal SaveAttempt Begin(long step)
    {
        LastIssued = step;
        return _ledger.Begin(step);
    }

    /// <inheritdoc cref="CheckpointLedger.Enter"/>
    internal IReadOnlyList<StoredFile>? Enter(CheckpointPartWritten part) => _ledger.Enter(part);

    /// <inheritdoc cref="CheckpointLedger.Committing"/>
    internal void Committing(SaveAttempt attempt) => _ledger.Committing(attempt);

    /// <summary>Gives up the attempts of which parts are missing, without counting them as failures; they are to be tried again.</summary>
    internal IReadOnlyList<SaveAttempt> Abandon()
    {
        var abandoned = _ledger.Abandon();
        foreach (var attempt in abandoned) _lastFailed = Math.Max(_lastFailed, attempt.Step);
        return abandoned;
    }

    /// <summary>
    /// All go back to a checkpoint: those of later steps are of a past that comes again otherwise. They, and what of them is still being made, count no longer;
    /// the steps are saved anew when they come.
    /// </summary>
    internal void RollBack(long step)
    {
        _void = (_ledger.LastAttempt, step);
        _saved.RemoveWhere(saved => saved > step);
        LastSaved = _saved.Max;
        LastIssued = Math.Min(LastIssued, step);
        _lastFailed = Math.Min(_lastFailed, step);
    }

    /// <summary>A checkpoint exists; false if it counts no longer, since all went back to before it meanwhile.</summary>
    internal bool Succeeded(SaveAttempt attempt)
    {
        _ledger.Close(attempt);
        if (IsVoid(attempt)) return false;
        _failuresInRow = 0;
        LastSaved = Math.Max(LastSaved, attempt.Step);
        _saved.Add(attempt.Step);
        return true;
    }

    /// <summary>What to do after a failure; null if the attempt had failed before, on another rank.</summary>
    internal SaveDecision? Failed(SaveAttempt attempt, bool isFinal)
    {
        if (!_ledger.Close(attempt) || IsVoid(attempt)) return null;
        _failuresInRow++;
        _lastFailed = Math.Max(_lastFailed, attempt.Step);
        if (isFinal) _finalFailures++;
        return new SaveDecision(isFinal && _finalFailures >= retry.FinalTryCount, retry.DelayAfter(_failuresInRow));
    }

    private bool IsVoid(SaveAttempt attempt) => attempt.Attempt <= _void.LastAttempt && attempt.Step > _void.Step;
}
