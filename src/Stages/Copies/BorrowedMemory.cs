using Pipeline.Protocol;

namespace Pipeline.Stages;

/// <summary>
/// What a holder has mapped of the memory of other processes. Each use of such memory is mapped once at most, when its first offer comes: an offer that was late may name what
/// has been given back and written again since. Thread-safe.
/// </summary>
internal sealed class BorrowedMemory
{
    /// <summary>Memories that are remembered at most; of a rank there are some three.</summary>
    private const int MaxKnownCount = 1 << 14;

    private readonly Lock _gate = new();
    private readonly Dictionary<string, (RunId Run, long Use)> _known = new(StringComparer.Ordinal);
    private readonly HashSet<string> _mapped = new(StringComparer.Ordinal);

    /// <summary>Names of what is mapped.</summary>
    internal IReadOnlyList<string> Names
    {
        get
        {
            lock (_gate) return [.. _mapped];
        }
    }

    /// <summary>Maps what is offered; null where it cannot be had, or is not to be had any more. The caller frees it.</summary>
    internal CopyBlock? Borrow(RunId run, LentMemory memory, long byteCount)
    {
        lock (_gate)
        {
            if (!memory.IsNamedWell || !Enter(run, memory) || _mapped.Contains(memory.Name)) return null;
            if (MemoryFile.Borrow(memory.Process, memory.Descriptor, memory.Name, byteCount) is not { } start) return null;
            _mapped.Add(memory.Name);
            return new BorrowedBlock(start, byteCount, () => Freed(memory.Name));
        }
    }

    /// <summary>A use of memory is not mapped from now on, since what lies there is here already.</summary>
    internal void Decline(RunId run, LentMemory memory)
    {
        lock (_gate)
        {
            if (memory.IsNamedWell) Enter(run, memory);
        }
    }

    /// <summary>A run is over: nothing more is offered of it.</summary>
    internal void Forget(RunId run)
    {
        lock (_gate)
        {
            foreach (var name in _known.Where(pair => pair.Value.Run == run).Select(pair => pair.Key).ToArray()) _known.Remove(name);
        }
    }

    private bool Enter(RunId run, LentMemory memory)
    {
        if (_known.TryGetValue(memory.Name, out var known) ? memory.Use <= known.Use : _known.Count >= MaxKnownCount) return false;
        _known[memory.Name] = (run, memory.Use);
        return true;
    }

    private void Freed(string name)
    {
        lock (_gate) _mapped.Remove(name);
    }
}
