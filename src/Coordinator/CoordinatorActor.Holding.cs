using Akka.Actor;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>
/// How the run comes to a step's end at which something is to be done, though the ranks are granted enough for the time of a take-over: see <see cref="StepHold"/>.
/// One hold serves all that wait for one. After a recovery there is always one: who replays, and what was to be saved on the way, begins from a known step.
/// </summary>
public sealed partial class CoordinatorActor
{
    private readonly StepHold _hold = new();
    private readonly List<IActorRef> _pausing = [];
    private readonly List<IActorRef> _savingNow = [];
    private bool _knowsGrants;
    private bool _tellsPause;
    private bool _tellsStop;

    private void ReceiveHolding()
    {
        Receive<StepsHeld>(IsCurrent, OnHeld);
        Receive<HoldTick>(_ => AskToHold());
    }

    /// <summary>Whether all ranks are there to be asked; if not, they are once they are.</summary>
    private bool IsReachable => _hasBegun && _outcome is null && IsSettled && _ranks.Unready.Count == 0;

    private void Hold()
    {
        if (!IsReachable || _hold.IsAsking) return;
        // Who has completed all that was granted has begun nothing beyond it. What a predecessor has granted, only the ranks know.
        if (_progress.Granted <= _progress.Committed && _knowsGrants)
        {
            Stand(_progress.Granted);
            return;
        }

        _hold.Ask(_ranks.RankCount);
        AskToHold();
    }

    private void AskToHold()
    {
        if (!_hold.IsAsking) return;
        foreach (var rank in _hold.Unheard) _ranks.Refs[rank].Tell(new HoldSteps(_ranks.Generation, _hold.Number));
        Timers.StartSingleTimer("hold", new HoldTick(), AskAgainAfter);
    }

    private void OnHeld(StepsHeld held)
    {
        if (_hold.Enter(held.Rank, held.Number, held.BegunStep) is not { } boundary) return;
        var isSuccession = !_knowsGrants;
        _knowsGrants = true;
        Stand(boundary, isSuccession);
    }

    /// <summary>Nobody has begun a step beyond the boundary: whoever is behind comes to it, and nobody goes further before what waits for it is told.</summary>
    /// <param name="boundary">The step.</param>
    /// <param name="isSuccession">Whether ranks may have come there while nobody led.</param>
    private void Stand(long boundary, bool isSuccession = false)
    {
        Timers.Cancel("hold");
        _progress.Stand(boundary);
        _saving.Withdraw(_progress.Granted);
        SendGrants();
        // A save that was given up is tried before anything else is granted.
        if (_saving.NeedsRetry && !_saving.IsSaving) Save(_progress.Granted);
        if (isSuccession) MakeUpForSaves();
        TellStop();
        AnswerPauses();
        SaveAsAsked();
        if (_move is { } move) SetBoundary(move);
        else Advance();
    }

    private void TellStop()
    {
        if (_tellsStop) _observer.Tell(new RunNotice.Stopping(_progress.Granted));
        _tellsStop = false;
    }

    /// <summary>The run is over: nobody waits for a step's end any longer.</summary>
    private void RefuseWaiting()
    {
        TellStop();
        foreach (var asker in _pausing.Concat(_savingNow)) asker.Tell(new OperationResult(false, "The run ended before that could be done."));
        _pausing.Clear();
        _savingNow.Clear();
    }

    /// <summary>The assignment becomes another one: what was asked of the former is void.</summary>
    private void NextGeneration()
    {
        _ranks.Generation = _ranks.Generation.Next();
        _hold.Cancel();
        if (_move is { } move) move.Boundary = null;
    }
}
