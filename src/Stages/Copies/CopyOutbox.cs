using Akka.Actor;
using Pipeline.Protocol;

namespace Pipeline.Stages;

/// <summary>
/// The copies of its state that a rank has taken: one is on its way to where copies are kept, the newest that has arrived is kept here too, for
/// another holder if the holder is lost. Owns the copies. Lives inside the rank's actor.
/// </summary>
/// <param name="context">The rank's actor, which is told <see cref="CopyDelivered"/>.</param>
/// <param name="returned">Called when a copy is freed, so that another may be taken.</param>
/// <param name="lost">Called with the step of a copy that is freed although it is kept nowhere.</param>
/// <param name="links">How copies travel to other processes; null where they go as messages.</param>
internal sealed class CopyOutbox(IUntypedActorContext context, Action returned, Action<long> lost, CopyLinks? links)
{
    private readonly Queue<StateCopy> _waiting = [];
    private readonly CopyLoans _loans = new();
    private StateCopy? _newest;
    // It could not map what was offered to it: what follows is sent to it at once.
    private IActorRef _declining = ActorRefs.Nobody;
    private IActorRef _sender = ActorRefs.Nobody;
    private IActorRef _holder = ActorRefs.Nobody;
    private CopyFolder? _folder;

    /// <summary>Points it at the place of a generation; what is not known to be there is sent again.</summary>
    internal void Direct(PipelineLayout layout, int rank, Func<string, IActorRef> resolve) => Direct(
        layout.Ranks[rank].Holder is { } place ? resolve(place.Path) : ActorRefs.Nobody,
        layout.ProtectionNow.Kind == ProtectionKind.Disk ? new CopyFolder(layout.Protection.Folder) : null);

    /// <summary>Points it at a holder, or at a folder.</summary>
    internal void Direct(IActorRef holder, CopyFolder? folder)
    {
        var (former, wasOnDisk) = (_holder, _folder is not null);
        (_holder, _folder) = (holder, folder);
        _loans.KeepOnly(_holder);
        // What is being written goes on being written.
        if (_folder is not null && wasOnDisk) return;
        if (_folder is null && _holder.IsNobody())
        {
            // Nobody is left to hold them.
            while (_waiting.TryDequeue(out var copy)) Lose(copy);
        }

        if (!_holder.IsNobody() && !_holder.Equals(former) && _newest is { } newest)
        {
            _newest = null;
            StateCopy[] later = [.. _waiting];
            _waiting.Clear();
            foreach (var copy in later.Prepend(newest)) _waiting.Enqueue(copy);
        }

        SendNext();
    }

    /// <summary>Takes over a copy and sends it.</summary>
    internal void Add(StateCopy copy)
    {
        _waiting.Enqueue(copy);
        if (_waiting.Count == 1) SendNext();
    }

    /// <summary>A copy has arrived where it is kept; false if it was not the one under way.</summary>
    internal bool Delivered(CopyDelivered delivered)
    {
        if (!_waiting.TryPeek(out var first) || first != delivered.Copy || !delivered.Receiver.Equals(_folder is null ? _holder : ActorRefs.Nobody)) return false;
        _waiting.Dequeue();
        if (delivered.IsDeclined) _declining = delivered.Receiver;
        _loans.Delivered(first, delivered.Receiver, delivered.Mapped);
        Free(_newest);
        _newest = first;
        SendNext();
        return true;
    }

    /// <summary>A copy could not be written; training goes on with less protection.</summary>
    internal void Failed(StateCopy copy)
    {
        if (_folder is null || !_waiting.TryPeek(out var first) || first != copy) return;
        Lose(_waiting.Dequeue());
        SendNext();
    }

    /// <summary>Frees everything that it owns.</summary>
    internal void Close()
    {
        context.Stop(_sender);
        _loans.KeepOnly(ActorRefs.Nobody);
        foreach (var copy in _waiting) copy.Dispose();
        _waiting.Clear();
        _newest?.Dispose();
        _newest = null;
    }

    private void Lose(StateCopy copy)
    {
        lost(copy.Id.Step);
        Free(copy);
    }

    private void Free(StateCopy? copy)
    {
        if (copy is null) return;
        copy.Dispose();
        returned();
    }

    private void SendNext()
    {
        context.Stop(_sender);
        _sender = ActorRefs.Nobody;
        if (!_waiting.TryPeek(out var copy)) return;
        if (_folder is { } folder) Write(folder, copy);
        else if (!_holder.IsNobody()) Send(copy);
    }

    private void Send(StateCopy copy)
    {
        var lends = !_holder.Equals(_declining);
        if (lends) _loans.Lend(copy, _holder);
        _sender = context.ActorOf(CopySender.Props(copy, _holder, links, lends));
    }

    private void Write(CopyFolder folder, StateCopy copy)
    {
        var self = context.Self;
        var held = copy.Share();
        _ = Task.Run(() =>
        {
            using (held) folder.Write(held);
        }).PipeTo(
            self,
            success: () => new CopyDelivered(copy, ActorRefs.Nobody, []),
            failure: fault => new CopyFailed(copy, fault.Message));
    }
}

/// <summary>The compute thread has taken a copy of the rank's state. The receiver of the message owns it.</summary>
internal sealed record StateTaken(StateCopy Copy) : INoSerializationVerificationNeeded;

/// <summary>A copy could not be written.</summary>
internal sealed record CopyFailed(StateCopy Copy, string Message) : INoSerializationVerificationNeeded;
