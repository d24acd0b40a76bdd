using System.Net.Sockets;
using Pipeline.Protocol.Links;

namespace Pipeline.Tests.Protocol.Links;

/// <summary>
/// Two ends of a connection in memory, with an adversary between them that is drawn from a seed: it passes bytes on in pieces of any size,
/// cuts both directions after some number of bytes, and may alter one byte.
/// </summary>
internal sealed class MemoryTransport : ILinkTransport
{
    private const int Capacity = 256 * 1024;

    private readonly Pipe _incoming;
    private readonly Pipe _outgoing;
    private readonly Random _pieces;
    private TimeSpan? _timeout;

    private MemoryTransport(Pipe incoming, Pipe outgoing, int seed)
    {
        (_incoming, _outgoing) = (incoming, outgoing);
        _pieces = new Random(seed);
    }

    public LinkKind Kind => LinkKind.Tcp;

    public string Source => "memory";

    public bool CanSend => !_outgoing.IsFull;

    public TimeSpan? ReceiveTimeout
    {
        set => _timeout = value;
    }

    /// <param name="seed">Draws the pieces.</param>
    /// <param name="cutAfter">Bytes from the first end to the second before all is over.</param>
    /// <param name="alterAt">Byte in that direction that is altered; null for none.</param>
    internal static (MemoryTransport First, MemoryTransport Second) Pair(int seed, long cutAfter = long.MaxValue, long? alterAt = null)
    {
        var there = new Pipe(cutAfter, alterAt);
        var back = new Pipe(long.MaxValue, null);
        (there.Partner, back.Partner) = (back, there);
        return (new MemoryTransport(back, there, seed), new MemoryTransport(there, back, seed + 1));
    }

    public void Send(ReadOnlySpan<byte> head, ReadOnlySpan<byte> body)
    {
        _outgoing.Write(head);
        _outgoing.Write(body);
    }

    public int Receive(Span<byte> into, Span<byte> spare)
    {
        var length = into.Length > 1 ? _pieces.Next(1, into.Length + 1) : into.Length;
        var count = _incoming.Read(into[..length], _timeout);
        return count == length && length == into.Length && !spare.IsEmpty ? count + _incoming.ReadNow(spare[.._pieces.Next(0, spare.Length + 1)]) : count;
    }

    public bool AwaitData(TimeSpan patience) => _incoming.Await(patience);

    public void Close()
    {
        _incoming.Cut();
        _outgoing.Cut();
    }

    public void Dispose() => Close();

    private sealed class Pipe(long cutAfter, long? alterAt)
    {
        private readonly object _gate = new();
        private readonly Queue<byte> _bytes = new();
        private long _written;
        private bool _isCut;

        internal Pipe? Partner { get; set; }

        internal bool IsFull
        {
            get
            {
                lock (_gate) return _bytes.Count >= Capacity;
            }
        }

        internal void Write(ReadOnlySpan<byte> bytes)
        {
            while (!bytes.IsEmpty)
            {
                bool isOver;
                lock (_gate)
                {
                    while (!_isCut && _bytes.Count >= Capacity) Monitor.Wait(_gate);
                    if (_isCut) throw new IOException("cut", new SocketException((int)SocketError.ConnectionReset));
                    // As much at once as there is room for: whoever reads would else take each byte by itself, and wait for the next.
                    var count = (int)Math.Min(Math.Min(bytes.Length, Capacity - _bytes.Count), cutAfter - _written);
                    foreach (var value in bytes[..count]) _bytes.Enqueue(_written++ == alterAt ? (byte)(value ^ 0x10) : value);
                    bytes = bytes[count..];
                    isOver = _written >= cutAfter;
                    Monitor.PulseAll(_gate);
                }

                if (!isOver) continue;
                Cut();
                Partner!.Cut();
            }
        }

        internal int Read(Span<byte> into, TimeSpan? timeout)
        {
            lock (_gate)
            {
                while (_bytes.Count == 0)
                {
                    if (_isCut) return 0;
                    if (!Monitor.Wait(_gate, timeout ?? Timeout.InfiniteTimeSpan)) throw new IOException("silent", new SocketException((int)SocketError.TimedOut));
                }

                return Drain(into);
            }
        }

        internal int ReadNow(Span<byte> into)
        {
            lock (_gate) return Drain(into);
        }

        internal bool Await(TimeSpan patience)
        {
            lock (_gate) return _bytes.Count > 0 || _isCut || Monitor.Wait(_gate, patience);
        }

        internal void Cut()
        {
            lock (_gate)
            {
                _isCut = true;
                Monitor.PulseAll(_gate);
            }
        }

        private int Drain(Span<byte> into)
        {
            var count = 0;
            while (count < into.Length && _bytes.TryDequeue(out var value)) into[count++] = value;
            Monitor.PulseAll(_gate);
            return count;
        }
    }
}
