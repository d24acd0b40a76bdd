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
    private readonly SortedSet<long> _failed = [];
    private int _failuresInRow;
    private int _finalFailures;
    private (int LastAttempt, long Step) _void = (int.MinValue, 0);

    /// <summary>The newest step whose save was asked for; at first the step that the run starts from.</summary>
    internal long LastIssued { get; private set; } = startStep;

    /// <summary>The newest step of which a checkpoint exists.</summary>
    internal long LastSaved { get; private set; } = startStep;

    /// <summary>Whether the newest save failed and none has succeeded since.</summary>
    internal bool NeedsRetry => _failed.Count > 0 && LastSaved < _failed.Max;

    /// <summary>Whether the end of a save is not known yet.</summary>
    internal bool IsSaving => _ledger.HasOpen;

    /// <inheritdoc cref="CheckpointLedger.Open"/>
    internal IEnumerable<SaveAttempt> Open => _ledger.Open;

    /// <summary>
    /// Steps whose state can be had, oldest first: the newest checkpoints, as many as are kept, and the initial weights. Those that are being made have
    /// nothing pruned before they count.
    /// </summary>
    internal IReadOnlyList<long> Kept(int count)
    {
        var newest = _saved.TakeLast(count).ToHashSet();
        return [.. _saved.Where(step => step == 0 || newest.Contains(step))];
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

    /// <inheritdoc cref="CheckpointLedger.IsCommitting"/>
    internal bool IsCommitting(SaveAttempt attempt) => _ledger.IsCommitting(attempt);

    /// <inheritdoc cref="CheckpointLedger.Committing"/>
    internal void Committing(SaveAttempt attempt) => _ledger.Committing(attempt);

    /// <summary>Gives up the attempts of which parts are missing, without counting them as failures; they are to be tried again.</summary>
    internal IReadOnlyList<SaveAttempt> Abandon()
    {
        var abandoned = _ledger.Abandon();
        _failed.UnionWith(abandoned.Select(attempt => attempt.Step));
        return abandoned;
    }

    /// <summary>
    /// What was asked for after a step that no rank is past is void, whether it was given up or not: it is asked for again when the steps are handed out again.
    /// </summary>
    internal IReadOnlyList<SaveAttempt> Withdraw(long step)
    {
        _failed.RemoveWhere(failed => failed > step);
        var withdrawn = _ledger.Abandon(step);
        if (LastIssued > step) LastIssued = _ledger.Open.Select(attempt => attempt.Step).Append(Math.Min(LastSaved, step)).Max();
        return withdrawn;
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
        _failed.RemoveWhere(failed => failed > step);
    }

    /// <summary>A checkpoint exists; false if it counts no longer, since all went back to before it meanwhile.</summary>
    internal bool Succeeded(SaveAttempt attempt)
    {
        _ledger.Close(attempt);
        if (IsVoid(attempt)) return false;
        _failuresInRow = 0;
        LastSaved = Math.Max(LastSaved, attempt.Step);
        _saved.Add(attempt.Step);
        _failed.RemoveWhere(failed => failed <= LastSaved);
        return true;
    }

    /// <summary>What to do after a failure; null if the attempt had failed before, on another rank.</summary>
    internal SaveDecision? Failed(SaveAttempt attempt, bool isFinal)
    {
        if (!_ledger.Close(attempt) || IsVoid(attempt)) return null;
        _failuresInRow++;
        _failed.Add(attempt.Step);
        if (isFinal) _finalFailures++;
        return new SaveDecision(isFinal && _finalFailures >= retry.FinalTryCount, retry.DelayAfter(_failuresInRow));
    }

    private bool IsVoid(SaveAttempt attempt) => attempt.Attempt <= _void.LastAttempt && attempt.Step > _void.Step;
}
