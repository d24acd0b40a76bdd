using Pipeline.Protocol;
using static Pipeline.Protocol.NodeProtocol;

namespace Pipeline.Coordinator;

/// <summary>What follows when nothing moves: ranks are asked what they are at, a rank that hangs is given up, all say again what others may lack, and in the end the run, or only a move, is.</summary>
public sealed partial class CoordinatorActor
{
    private readonly Standstill _standstill;
    private readonly HangWatch _hang;
    private bool _asksWhatRanksAreAt;

    /// <summary>Something was said that the run waits for, and that was not said before.</summary>
    private void Moved()
    {
        _standstill.Moved();
        WatchProgress();
    }

    private void Reached(Waypoint point, int rank)
    {
        if (_standstill.Reach(point, rank, _ranks.Starts[rank].Step)) WatchProgress();
    }

    private void WatchProgress()
    {
        if (_run.Recovery.StallAfter <= TimeSpan.Zero || _outcome is not null) return;
        _asksWhatRanksAreAt = false;
        var longest = TimeSpan.FromSeconds(8 * _progress.MedianSeconds);
        Timers.StartSingleTimer("stall", new StallTick(), longest > _run.Recovery.StallAfter ? longest : _run.Recovery.StallAfter);
    }

    private void OnStall()
    {
        var isWaiting = _ranks.Unready.Count > 0 || _hold.IsAsking || _progress.Committed < _progress.Granted || !_progress.IsEvaluated || _move is not null;
        if (isWaiting && !_asksWhatRanksAreAt)
        {
            AskWhatRanksAreAt();
            return;
        }

        WatchProgress();
        if (!isWaiting) return;
        if (_hang.Of(CurrentStanding, _progress.MedianSeconds) is { } hung)
        {
            GiveUp(hung);
            return;
        }

        GatherFlights("nothing has moved");
        if (!_standstill.Repeats(IsSomebodyAtWork))
        {
            if (GivesMoveUp()) return;
            End(Failed(StallText.For(_progress, _ranks, _standing.Values)));
            return;
        }

        Recover("nothing has moved", []);
    }

    /// <summary>All have been quiet for long: right after everything was said again, whoever it woke would seem to compute.</summary>
    private void AskWhatRanksAreAt()
    {
        _asksWhatRanksAreAt = true;
        _standing.Clear();
        foreach (var node in _nodes.Alive) Ask(node);
        Timers.StartSingleTimer("stall", new StallTick(), AskAgainAfter);
    }

    private IEnumerable<HostedReport> CurrentStanding => _standing.Values.Where(report => report.Asked == _ranks.Generation);

    /// <summary>Its thread cannot be ended without its process: the node is lost, and ends when it hears so.</summary>
    private void GiveUp(HungRank hung)
    {
        if (_hang.IsFirst(hung, _ranks.UnitsOf(hung.Rank), _ranks.ReplicaCount)) OnSuspected(hung.Node, $"{hung.Sentence}: its node is given up.");
        else End(Failed($"{hung.Sentence}, as it did before on another node or in an earlier start of the run: this step's action does not end. Look at what the units do there, or resume the run from another checkpoint."));
    }

    private bool IsSomebodyAtWork => CurrentStanding.SelectMany(report => report.Stages)
        .Any(stage => stage.Awaits is "" or HostedStage.State or HostedStage.Copies);
}
