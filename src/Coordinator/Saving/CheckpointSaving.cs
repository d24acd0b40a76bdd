using System.Diagnostics;
using Akka.Actor;
using Pipeline.Checkpoints;
using Pipeline.Protocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>
/// The coordinator's part in checkpoints: collects the ranks' parts, makes manifests on a task, one after the other, and decides what
/// follows a failure. Beside a manifest whose writing hangs the next ones fail, as parts do. Used by the coordinator's handlers only, which it answers
/// through their own mailbox.
/// </summary>
/// <param name="run">The run.</param>
/// <param name="rankCount">Ranks, at first.</param>
/// <param name="startStep">The step of the newest checkpoint; that of the start for a new run.</param>
/// <param name="self">The coordinator.</param>
internal sealed class CheckpointSaving(CoordinatedRun run, int rankCount, long startStep, IActorRef self)
{
    private readonly SaveProgress _progress = new(rankCount, startStep, run.Retry, run.FirstSaveAttempt);
    private int _openCommits;
    private Task _lastCommit = Task.CompletedTask;

    /// <inheritdoc cref="SaveProgress.LastIssued"/>
    internal long LastIssued => _progress.LastIssued;

    /// <inheritdoc cref="SaveProgress.LastSaved"/>
    internal long LastSaved => _progress.LastSaved;

    /// <inheritdoc cref="SaveProgress.Kept"/>
    internal IReadOnlyList<long> Kept => _progress.Kept(run.Keeper?.KeepCount ?? 1);

    /// <inheritdoc cref="SaveProgress.NeedsRetry"/>
    internal bool NeedsRetry => _progress.NeedsRetry;

    /// <inheritdoc cref="SaveProgress.IsSaving"/>
    internal bool IsSaving => _progress.IsSaving;

    /// <inheritdoc cref="CheckpointLedger.Open"/>
    internal IEnumerable<SaveAttempt> Open => _progress.Open;

    /// <inheritdoc cref="CheckpointLedger.IsCommitting"/>
    internal bool IsCommitting(SaveAttempt attempt) => _progress.IsCommitting(attempt);

    /// <summary>Whether no manifest is being written.</summary>
    internal bool IsQuiet => _openCommits == 0;

    /// <inheritdoc cref="CheckpointLedger.Resize"/>
    internal void Resize(int count) => _progress.Resize(count);

    /// <summary>A new try to save a step, to be told to all ranks.</summary>
    internal SaveCheckpoint Begin(long step, Generation generation) => new(generation, step, _progress.Begin(step).Attempt);

    /// <summary>Enters a part; the last one of an attempt starts its manifest.</summary>
    internal void Enter(CheckpointPartWritten part)
    {
        if (_progress.Enter(part) is not { } files || run.Keeper is not { } keeper) return;
        var attempt = new SaveAttempt(part.Step, part.Attempt);
        _progress.Committing(attempt);
        _openCommits++;
        _ = InTurn(() => keeper.Commit(attempt, files), keeper.Patience).PipeTo(
            self,
            success: byteCount => new CheckpointCommitted(attempt, byteCount),
            failure: fault => new CommitFailed(attempt, fault.Message));
    }

    /// <summary>
    /// A manifest is on disk. If it is one of the run's, older ones are pruned, and the coordinator is told; not if all went back to before its step meanwhile: then it is none,
    /// and what it would have pruned may be what they went back to.
    /// </summary>
    /// <returns>Whether it is one of the run's.</returns>
    internal bool Succeeded(CheckpointCommitted saved)
    {
        if (!_progress.Succeeded(saved.Attempt) || run.Keeper is not { } keeper)
        {
            _openCommits--;
            return false;
        }

        _ = InTurn(keeper.Prune, keeper.Patience).PipeTo(self, success: warning => new CheckpointsPruned(saved.Attempt.Step, saved.ByteCount, warning), failure: fault => new CheckpointsPruned(saved.Attempt.Step, saved.ByteCount, fault.Message));
        return true;
    }

    /// <summary>A manifest could not be written (see <see cref="Failed"/> for what follows), or the pruning after one has ended.</summary>
    internal void CommitEnded() => _openCommits--;

    /// <summary>What to do after a failure; null if the attempt had failed before, on another rank. Its files are removed.</summary>
    internal SaveDecision? Failed(SaveAttempt attempt, bool isFinal)
    {
        var decision = _progress.Failed(attempt, isFinal);
        if (decision is not null) Remove(attempt);
        return decision;
    }

    /// <summary>Gives up what is not written yet: a rank that was to write a part of it is gone. It is tried anew.</summary>
    internal void Abandon()
    {
        foreach (var attempt in _progress.Abandon()) Remove(attempt);
    }

    /// <inheritdoc cref="SaveProgress.Withdraw"/>
    internal void Withdraw(long step)
    {
        foreach (var attempt in _progress.Withdraw(step)) Remove(attempt);
    }

    /// <summary>
    /// All go back to a checkpoint. Later ones are removed, also those that are being made: after these, and before any that is made from now on, which might
    /// be pruned in their favour.
    /// </summary>
    /// <returns>Ends when they are gone, or could not be removed, which the coordinator is told.</returns>
    internal Task RollBack(long step)
    {
        Abandon();
        _progress.RollBack(step);
        if (run.Keeper is not { } keeper) return Task.CompletedTask;
        return _lastCommit = _lastCommit.ContinueWith(_ => RemoveAfter(keeper, step), TaskScheduler.Default);
    }

    /// <summary>One after the other: what prunes must not take an attempt that is being committed for a leftover. Not after one that hangs.</summary>
    private Task<T> InTurn<T>(Func<T> work, TimeSpan patience)
    {
        var (before, since) = (_lastCommit, Stopwatch.GetTimestamp());
        var own = Task.Run(async () =>
        {
            await before.WaitAsync(patience).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (before.IsCompleted) return work();
            throw new CheckpointException(FormattableString.Invariant(
                $"What the manifest has to wait for has been written for {Stopwatch.GetElapsedTime(since).TotalSeconds:0} s and is not done: the store hangs, or is slower than checkpoints come."));
        });
        // Ends when both have, however they do: what was rolled back is removed only then.
        _lastCommit = own.ContinueWith(_ => before, TaskScheduler.Default).Unwrap();
        return own;
    }

    private void RemoveAfter(CheckpointKeeper keeper, long step)
    {
        try
        {
            // Who was replaced meanwhile has no say in what its successor has saved: it is asked once what is to be removed is known, and each time again.
            keeper.RemoveAfter(step, () => run.Journal is not { IsSuperseded: true });
        }
        catch (CheckpointException fault)
        {
            self.Tell(new RecordNotice(CheckpointKeeper.StaleCheckpoints(step, fault)));
        }
    }

    private void Remove(SaveAttempt attempt)
    {
        if (run.Keeper is { } keeper) _ = Task.Run(() => keeper.Abandon(attempt));
    }
}
