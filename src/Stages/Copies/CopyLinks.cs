using System.Collections.Concurrent;
using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;

namespace Pipeline.Stages;

/// <summary>
/// How a process exchanges copies of states with others over its links: it opens a link for each copy that leaves, and passes what comes in to the
/// <see cref="CopyInlet"/> that the frames name. One for each process. Thread-safe.
/// </summary>
public sealed class CopyLinks : IFrameSink, IDisposable
{
    private readonly ConcurrentDictionary<int, CopyInlet> _inlets = new();
    private readonly LinkHub _hub;
    private readonly LinkKindChoice _choice;
    private readonly IDisposable _receiving;
    private int _lastInlet;

    /// <summary>Takes copies from now on.</summary>
    /// <param name="hub">The process's links; stays the caller's.</param>
    /// <param name="choice">What carries copies to others.</param>
    public CopyLinks(LinkHub hub, LinkKindChoice choice)
    {
        (_hub, _choice) = (hub, choice);
        Address = LinkAddressText.Of(hub.Address);
        _receiving = hub.ReceiveCopies(this);
    }

    /// <summary>Where others reach this process.</summary>
    internal string Address { get; }

    /// <summary>Whether copies need not be sent to other processes of this machine, which map the memory that they lie in: where their frames would go over Unix sockets.</summary>
    internal bool Lends => _choice is LinkKindChoice.Automatic or LinkKindChoice.Unix && _hub.Address.UnixPath.Length > 0 && MemoryFile.IsSupported;

    /// <summary>Makes a way in; the caller closes it.</summary>
    internal CopyInlet Open(IActorRef receiver)
    {
        var number = Interlocked.Increment(ref _lastInlet);
        return _inlets[number] = new CopyInlet(Address, number, receiver, () => _inlets.TryRemove(number, out _));
    }

    /// <summary>Opens a link for one copy; the caller closes it.</summary>
    /// <exception cref="ArgumentException">The wanted kind of link does not reach there.</exception>
    /// <exception cref="FormatException">The text is no address.</exception>
    internal ILink Connect(string address, CopyId copy) => _hub.Open(
        LinkAddressText.Parse(address), new LinkClaim(LinkPurpose.Copy, copy.Run, copy.PartitionedIn, copy.Rank, copy.Rank), _choice);

    /// <inheritdoc/>
    public IFrameBuffer Rent(LinkPeer from, FrameHeader header) => header.Key.Kind == FrameKind.StateCopy && _inlets.TryGetValue(header.Key.Slice, out var inlet)
        ? inlet.Rent(header)
        : throw new FrameException($"Tensor frame {header.Key}: no copy is awaited here under the number {header.Key.Slice}.");

    /// <inheritdoc/>
    public void Arrived(ArrivedFrame frame)
    {
        var part = (CopyPart)frame.Buffer;
        if (_inlets.TryGetValue(frame.Header.Key.Slice, out var inlet)) inlet.Arrived(part);
        else part.Dispose();
        frame.Consume();
    }

    /// <inheritdoc/>
    public void Dispose() => _receiving.Dispose();
}
