using Akka.Actor;
using Pipeline.Checkpoints;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>The coordinator's handlers for checkpoints; <see cref="CheckpointSaving"/> decides.</summary>
public sealed partial class CoordinatorActor
{
    private void ReceiveSaving()
    {
        Receive<CheckpointPartWritten>(IsCurrent, _saving.Enter);
        Receive<CheckpointPartFailed>(IsCurrent, part => OnSaveFailed(new SaveAttempt(part.Step, part.Attempt), part.Message));
        Receive<CheckpointCommitted>(OnCommitted);
        Receive<CheckpointsPruned>(OnPruned);
        Receive<CommitFailed>(OnCommitFailed);
        Receive<RetrySaveTick>(_ => OnRetrySave());
        Receive<SaveStallTick>(stall => OnSaveFailed(stall.Attempt, _saving.IsCommitting(stall.Attempt) ? "Its manifest was not written in time." : "Not every rank has written its part in time."));
    }

    private void Save(long step)
    {
        if (_run.Keeper is null) return;
        var save = _saving.Begin(step, _ranks.Generation) with { Hold = _hold.GrantNumber };
        TellAll(save);
        if (step <= _progress.Committed) WatchSaves(step);
    }

    /// <summary>
    /// Saves that a predecessor ordered on the way became no checkpoints, and of what was due since the ranks can give but the state at which they stand now. Waiting for the next multiple
    /// instead would leave the run without a checkpoint for up to twice the interval.
    /// </summary>
    private void MakeUpForSaves()
    {
        var (due, step) = (_progress.Plan.LastSaveDue(_progress.Granted), _progress.Granted);
        if (_run.Keeper is null || due <= _saving.LastSaved || _saving.IsSaving || step >= _progress.EndStep) return;
        Save(step);
        if (due < step) Warn("checkpoint-late", step, $"A checkpoint was due after step {due}, while nobody led the run, and the ranks are past it: the state after step {step} is saved in its place.");
    }

    /// <summary>A save may be asked for long before its step: it is late only once the step is done.</summary>
    private void WatchSaves(long step)
    {
        if (_run.Recovery.SaveStallAfter <= TimeSpan.Zero) return;
        foreach (var attempt in _saving.Open.Where(attempt => attempt.Step == step)) Timers.StartSingleTimer(attempt, new SaveStallTick(attempt), _run.Recovery.SaveStallAfter);
    }

    private void OnCommitted(CheckpointCommitted saved)
    {
        if (_saving.Succeeded(saved)) _progress.Forget(saved.Attempt.Step);
        AfterCommit();
    }

    private void OnPruned(CheckpointsPruned pruned)
    {
        _saving.CommitEnded();
        _observer.Tell(new RunNotice.CheckpointSaved(pruned.Step, pruned.ByteCount, pruned.Warning));
        AnswerSaves(pruned.Step, true, $"The state after step {pruned.Step} is saved.");
        if (_outcome is not null) FinishWhenQuiet();
    }

    private void OnCommitEnded()
    {
        _saving.CommitEnded();
        AfterCommit();
    }

    private void AfterCommit()
    {
        if (_outcome is not null)
        {
            FinishWhenQuiet();
            return;
        }

        Moved();
        Advance();
    }

    private void OnCommitFailed(CommitFailed failed)
    {
        _saving.CommitEnded();
        OnSaveFailed(failed.Attempt, failed.Message);
    }

    private void OnSaveFailed(SaveAttempt attempt, string message)
    {
        if (_saving.Failed(attempt, isFinal: attempt.Step == _progress.EndStep) is not { } decision) return;
        AnswerSaves(attempt.Step, false, $"The state after step {attempt.Step} could not be saved. {message}");
        if (decision.GivesUp)
        {
            End(Failed($"The last checkpoint could not be saved. {message}"));
            return;
        }

        _observer.Tell(new RunNotice.SaveFailed(attempt.Step, $"{message} The run goes on; the next try is in {decision.Delay.TotalSeconds:0} s."));
        Timers.StartSingleTimer("retry-save", new RetrySaveTick(), decision.Delay);
        GiveDivisionUp(attempt.Step, $"The state after step {attempt.Step} could not be saved. {message}");
    }

    private void OnRetrySave()
    {
        if (!_saving.NeedsRetry) return;
        // A save under way may mend the failure, and two of one step would be in each other's way.
        if (_saving.Open.Any(attempt => attempt.Step <= _progress.Committed) || !IsReachable) Timers.StartSingleTimer("retry-save", new RetrySaveTick(), _run.Retry.FirstDelay);
        else Hold();
    }
}
