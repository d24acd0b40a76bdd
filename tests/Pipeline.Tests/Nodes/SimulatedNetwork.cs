using System.Collections.Concurrent;
using Akka.Actor;
using Pipeline.Protocol.Wire;

namespace Pipeline.Tests.Nodes;

/// <summary>
/// The network between nodes that live in one actor system: it loses, repeats, holds back and reorders wire messages by a seed, and cuts
/// nodes off. A node is named by the first part of its actors' paths; what stays within a node passes untouched, as does all that is no
/// wire message.
/// </summary>
internal sealed class SimulatedNetwork(int seed)
{
    private static readonly ConcurrentDictionary<string, SimulatedNetwork> BySystem = new(StringComparer.Ordinal);
    private readonly Lock _gate = new();
    private readonly Random _chance = new(seed);
    private readonly HashSet<string> _dead = new(StringComparer.Ordinal);
    private readonly HashSet<string> _frozen = new(StringComparer.Ordinal);
    private readonly HashSet<(string From, string To)> _cut = [];
    private readonly List<(IActorRef Receiver, object Message, IActorRef Sender)> _held = [];
    private readonly List<(IActorRef Receiver, object Message, IActorRef Sender)> _frozenMail = [];
    private readonly Dictionary<string, int> _counts = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _standing = new(StringComparer.Ordinal);
    private long _activity;
    private int _pending;
    private int _atWork;

    /// <summary>Shares of messages that are lost, repeated, held back.</summary>
    internal (double Lost, double Repeated, double Held) Faults { get; set; }

    /// <summary>Called for every message between nodes before its fate is decided, outside the lock.</summary>
    internal Action<string, string, object>? Seen { get; set; }

    /// <summary>Rises with every message.</summary>
    internal long Activity => Interlocked.Read(ref _activity);

    /// <summary>Whether messages lie in mailboxes, or an actor is created or processes one.</summary>
    internal bool IsBusy => Volatile.Read(ref _pending) > 0 || Volatile.Read(ref _atWork) > 0;

    /// <summary>How many messages of each type have passed between nodes.</summary>
    internal IReadOnlyDictionary<string, int> Counts
    {
        get
        {
            lock (_gate) return new Dictionary<string, int>(_counts, StringComparer.Ordinal);
        }
    }

    /// <summary>What each node last said of its stages, for messages of tests that fail.</summary>
    internal string Standing
    {
        get
        {
            lock (_gate) return string.Join("; ", _standing.Select(pair => $"{pair.Key}: {pair.Value}"));
        }
    }

    internal static SimulatedNetwork? Of(ActorSystem system) => BySystem.GetValueOrDefault(system.Name);

    internal void Attach(string systemName) => BySystem[systemName] = this;

    internal static void Detach(string systemName) => BySystem.TryRemove(systemName, out _);

    /// <summary>From now on nothing reaches the node and nothing leaves it, though it computes on: a process that is killed, or a zombie.</summary>
    internal void Kill(string node)
    {
        lock (_gate) _dead.Add(node);
    }

    /// <summary>From now on nothing that these nodes say reaches those.</summary>
    internal void Cut(IReadOnlyCollection<string> from, IReadOnlyCollection<string> to)
    {
        lock (_gate) _cut.UnionWith(from.SelectMany(one => to.Select(other => (one, other))));
    }

    /// <summary>All cuts are mended; what was said meanwhile is lost.</summary>
    internal void Heal()
    {
        lock (_gate) _cut.Clear();
    }

    /// <summary>What the node says and what is said to it waits until it is thawed.</summary>
    internal void Freeze(string node)
    {
        lock (_gate) _frozen.Add(node);
    }

    /// <summary>The node hears and says at once what it missed.</summary>
    internal void Thaw(string node)
    {
        (IActorRef Receiver, object Message, IActorRef Sender)[] mail;
        lock (_gate)
        {
            _frozen.Remove(node);
            mail = [.. _frozenMail];
            _frozenMail.Clear();
        }

        foreach (var (receiver, message, sender) in mail) receiver.Tell(message, sender);
    }

    /// <summary>Lets go of what is held back, in a random order; false if there was nothing.</summary>
    internal bool Release()
    {
        (IActorRef Receiver, object Message, IActorRef Sender)[] held;
        lock (_gate)
        {
            held = [.. _held];
            _held.Clear();
            _chance.Shuffle(held);
        }

        foreach (var (receiver, message, sender) in held) receiver.Tell(new Decided(message), sender);
        return held.Length > 0;
    }

    internal void Enqueued()
    {
        Interlocked.Increment(ref _activity);
        Interlocked.Increment(ref _pending);
    }

    internal void Begun() => Interlocked.Increment(ref _atWork);

    internal void Done() => Interlocked.Decrement(ref _atWork);

    internal void Dequeued() => Interlocked.Decrement(ref _pending);

    /// <summary>Nothing has moved for long: what is still counted is the mail of an actor that was gone before it came.</summary>
    internal void Forget()
    {
        Interlocked.Exchange(ref _pending, 0);
        Interlocked.Exchange(ref _atWork, 0);
    }

    /// <summary>What comes of a message: how often it is to be delivered now.</summary>
    internal int Decide(IActorRef receiver, object message, IActorRef sender)
    {
        if (message is not IWireMessage) return 1;
        var (from, to) = (NodeOf(sender), NodeOf(receiver));
        if (from == to || from is null || to is null) return 1;
        Seen?.Invoke(from, to, message);
        lock (_gate)
        {
            Interlocked.Increment(ref _activity);
            if (message is Pipeline.Protocol.NodeProtocol.HostedReport report) _standing[from] = $"{string.Join(", ", report.Stages)} copies {string.Join(", ", report.Copies.Select(copy => $"{copy.Rank}@{copy.Step}"))}";
            _counts[message.GetType().Name] = _counts.GetValueOrDefault(message.GetType().Name) + 1;
            if (_dead.Contains(from) || _dead.Contains(to) || _cut.Contains((from, to))) return 0;
            if (_frozen.Contains(from) || _frozen.Contains(to))
            {
                _frozenMail.Add((receiver, message, sender));
                return 0;
            }

            var fate = _chance.NextDouble();
            if ((fate -= Faults.Lost) < 0) return 0;
            if ((fate -= Faults.Repeated) < 0) return 2;
            if (fate - Faults.Held >= 0) return 1;
            _held.Insert(_chance.Next(_held.Count + 1), (receiver, message, sender));
        }

        ReleaseSome();
        return 0;
    }

    /// <summary>The node that an actor lives on: the first part of its path below the user guardian, up to a dash.</summary>
    internal static string? NodeOf(IActorRef? actor)
    {
        var parts = actor?.Path?.Elements;
        return parts is { Count: > 1 } && parts[0] == "user" ? parts[1].Split('-')[0] : null;
    }

    private void ReleaseSome()
    {
        (IActorRef Receiver, object Message, IActorRef Sender)[] released;
        lock (_gate)
        {
            if (_held.Count < 6) return;
            released = [.. _held.Take(3)];
            _held.RemoveRange(0, 3);
        }

        foreach (var (receiver, message, sender) in released) receiver.Tell(new Decided(message), sender);
    }

    /// <summary>A message whose fate is decided.</summary>
    internal sealed record Decided(object Message) : INoSerializationVerificationNeeded;
}
