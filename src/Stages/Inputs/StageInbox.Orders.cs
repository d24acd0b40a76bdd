using Pipeline.Protocol;

namespace Pipeline.Stages;

/// <summary>What the coordinator wants, and the compute thread's wait for it between two steps.</summary>
internal sealed partial class StageInbox
{
    private readonly StageOrders _orders = new();
    private long _begunStep;
    private bool _isEndWanted;

    internal void Grant(StageProtocol.GrantSteps grant)
    {
        lock (_gate)
        {
            _orders.Grant(grant, _begunStep);
            Wake();
        }
    }

    /// <summary>No further step is begun until it is granted anew; the last step that was, or null if the request is outdated.</summary>
    internal long? Hold(StageProtocol.HoldSteps hold)
    {
        lock (_gate) return _orders.Hold(hold, _begunStep) ? _begunStep : null;
    }

    /// <summary>The last step that the thread may begin.</summary>
    internal long GrantedStep
    {
        get
        {
            lock (_gate) return _orders.GrantedStep;
        }
    }

    internal void Post(StageProtocol.SaveCheckpoint save)
    {
        lock (_gate)
        {
            _orders.Add(save);
            _flight.Arrived(FlightSubject.Save(save.Step));
            Wake();
        }
    }

    /// <summary>Whether the step under way is to be the last.</summary>
    internal bool IsEndWanted
    {
        get
        {
            lock (_gate) return _isEndWanted;
        }
    }

    internal void WantEnd()
    {
        lock (_gate) _isEndWanted = true;
    }

    /// <summary>The state after a step is being copied: nobody need ask for it.</summary>
    internal void Copied(long step)
    {
        lock (_gate) _orders.Copied(step);
    }

    /// <inheritdoc cref="StageOrders.Uncopied"/>
    internal void Uncopied(long step)
    {
        lock (_gate) _orders.Uncopied(step);
    }

    /// <summary>Waits for something to do after a step: a save or a copy that is due, the next step, or, while its totals are awaited, these.</summary>
    /// <param name="step">The last step.</param>
    /// <param name="isEnded">Whether no step follows it.</param>
    /// <param name="awaited">The totals that are still to come of it; null if it is settled.</param>
    internal StageOrder TakeOrder(long step, bool isEnded, AwaitedTotals? awaited = null)
    {
        lock (_gate)
        {
            while (true)
            {
                ThrowIfClosed();
                if (_orders.TryTakeSave(step, out var save)) return Go(new StageOrder(StageOrderKind.Save, save));
                if (_orders.TryTakeCopy(step)) return Go(new StageOrder(StageOrderKind.Copy));
                if (!isEnded && step < _orders.GrantedStep && (step < _orders.AssuredStep || kept?.HasRoom != false))
                {
                    _begunStep = step + 1;
                    return Go(new StageOrder(StageOrderKind.Step));
                }

                if (awaited is { } totals && Holds(totals)) return Go(new StageOrder(StageOrderKind.Settle));
                Wait(FlightSubject.Grant(step));
            }
        }
    }
}
