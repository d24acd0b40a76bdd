using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// Links that end in actors. A tensor goes from the producer's compute thread into the neighbour's mailbox, and from its handler into
/// the consumer's inbox; what a rank sends to itself goes straight into its own. Where ranks lie on several nodes, what is sent is kept
/// until the step that it belongs to is protected, and everything carries the generation of the time at which it is sent. Owns what it keeps. Called by the compute
/// thread, by the stage's actor, and by threads of links that have worked on an input.
/// </summary>
internal sealed class ActorLinks(int rank, IActorRef self, StageInbox inbox, LinkTable table, FlightRecorder flight, KeptVolume volume) : IStageLinks
{
    private readonly Lock _gate = new();
    private readonly KeptMessages _kept = new(volume);
    private readonly KeptReports _reports = new();
    private LinkTable _table = table;
    private bool _isClosed;
    private volatile bool _hasOwner = true;

    /// <inheritdoc/>
    public void Send(int to, FrameKey key, torch.Tensor tensor, ICompletion completion)
    {
        if (to == rank)
        {
            inbox.Post(new HandedOver(new TensorHandover(key, tensor, completion)));
            return;
        }

        flight.Sent(FlightSubject.Of(key), to);
        var span = flight.Trace.Origin();
        lock (_gate)
        {
            var isKept = !_isClosed && _table.IsSpread;
            if (isKept) _kept.Add(to, key, tensor, completion);
            _table.Send(to, key, tensor, completion, isKept, self, span);
        }
    }

    /// <inheritdoc/>
    public TensorLoan? Lend(int to, FrameKey key, torch.Tensor view, bool isAwaited)
    {
        lock (_gate)
        {
            if (to == rank || _isClosed || !_table.Lends(to)) return null;
            flight.Sent(FlightSubject.Of(key), to);
            var loan = new TensorLoan(inbox.LoanEnded, _kept.AddLent(to, key, view), isAwaited);
            _table.Lend(to, key, view, loan, flight.Trace.Origin());
            return loan;
        }
    }

    /// <inheritdoc/>
    public void Settle(TensorLoan loan, torch.Tensor own)
    {
        lock (_gate) loan.Keep(own);
    }

    /// <inheritdoc/>
    public void Send(int to, NeighbourProtocol.INote note)
    {
        if (to == rank)
        {
            inbox.Post(note);
            return;
        }

        flight.Sent(FlightSubject.Of(note), to);
        lock (_gate)
        {
            if (_table.IsSpread) _kept.Add(to, note);
            _table.Send(to, note, self);
        }
    }

    /// <inheritdoc/>
    public bool TakesCopies
    {
        get
        {
            lock (_gate) return _table.TakesCopies;
        }
    }

    /// <inheritdoc/>
    public void Protect(StateCopy copy)
    {
        if (_hasOwner) self.Tell(new StateTaken(copy));
        else copy.Dispose();
    }

    /// <summary>The rank's actor has ended: a copy that its thread still takes would be nobody's.</summary>
    internal void Orphan() => _hasOwner = false;

    /// <inheritdoc/>
    public void Report(StageProtocol.IEvent report)
    {
        lock (_gate)
        {
            _reports.Add(report);
            _table.Report(report, self);
        }
    }

    /// <summary>Keeps what a step amounted to, as another rank said.</summary>
    internal void Known(NeighbourProtocol.StepTotals totals)
    {
        lock (_gate) _kept.AddKnown(totals);
    }

    /// <summary>Forgets what a grant says is not needed any longer.</summary>
    internal void Forget(StageProtocol.GrantSteps grant)
    {
        lock (_gate)
        {
            _reports.Forget(grant);
            _kept.Forget(grant.ProtectedStep);
        }
    }

    /// <summary>
    /// Points the links at the places of a newer generation; what is sent from now on carries it. What the others may lack, and what was
    /// reported, is sent again by the returned task.
    /// </summary>
    internal Task Regenerate(LinkTable newer, IReadOnlyList<long> completedSteps)
    {
        KeptMessage[] lacking;
        IReadOnlyList<StageProtocol.IEvent> reports;
        lock (_gate)
        {
            _table.Dispose();
            _table = newer;
            _kept.DropSpare();
            lacking = [.. Enumerable.Range(0, newer.RankCount).Where(other => other != rank).SelectMany(other => _kept.Lacking(other, completedSteps[other]))];
            reports = _reports.All;
        }

        return Task.Run(() =>
        {
            foreach (var report in reports) newer.Report(report, self);
            foreach (var message in lacking.Where(message => message is not KeptLoan)) newer.SendAgain(message, self);
            return Task.WhenAll(lacking.OfType<KeptLoan>().GroupBy(loan => loan.Rank).Select(loans => SendAgainAsync(newer, [.. loans])));
        });
    }

    /// <summary>
    /// One after the other: what still lies where it was sent from is copied for it, and there is one copy at a time for each receiver. Ends early where a newer
    /// generation has taken over, which sends all of it again.
    /// </summary>
    private async Task SendAgainAsync(LinkTable newer, IReadOnlyList<KeptLoan> loans)
    {
        foreach (var loan in loans)
        {
            TaskCompletionSource isSent = new(TaskCreationOptions.RunContinuationsAsynchronously);
            lock (_gate)
            {
                if (_isClosed || _table != newer) return;
                if (loan.Again() is not { } again) continue;
                newer.SendAgain(again, self, new TensorLoan(() => isSent.TrySetResult()));
            }

            await isSent.Task.ConfigureAwait(false);
        }
    }

    /// <summary>Frees everything that it owns.</summary>
    internal void Close()
    {
        lock (_gate)
        {
            _isClosed = true;
            _table.Dispose();
            _kept.Close();
        }
    }
}
