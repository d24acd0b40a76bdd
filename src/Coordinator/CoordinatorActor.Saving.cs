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
        Receive<CommitFailed>(OnCommitFailed);
        Receive<RetrySaveTick>(_ => OnRetrySave());
        Receive<SaveStallTick>(stall => OnSaveFailed(stall.Attempt, "Not every rank has written its part in time."));
    }

    private void Save(long step)
    {
        if (_run.Keeper is null) return;
        var save = _saving.Begin(step, _ranks.Generation);
        TellAll(save);
        if (_run.Recovery.SaveStallAfter > TimeSpan.Zero)
            Timers.StartSingleTimer("save-stall", new SaveStallTick(new SaveAttempt(save.Step, save.Attempt)), _run.Recovery.SaveStallAfter);
    }

    private void OnCommitted(CheckpointCommitted saved)
    {
        if (_saving.Succeeded(saved.Attempt))
        {
            _progress.Forget(saved.Attempt.Step);
            _observer.Tell(new RunNotice.CheckpointSaved(saved.Attempt.Step, saved.ByteCount, saved.Warning));
            AnswerSaves(saved.Attempt.Step, true, $"The state after step {saved.Attempt.Step} is saved.");
        }

        AfterCommit();
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
        if (_saving.IsSaving || _ranks.Unready.Count > 0 || !IsSettled) Timers.StartSingleTimer("retry-save", new RetrySaveTick(), _run.Retry.FirstDelay);
        else Save(_progress.Granted);
    }
}
