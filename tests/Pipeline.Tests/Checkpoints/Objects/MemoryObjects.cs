using System.Collections.Concurrent;
using Pipeline.Checkpoints;
using Pipeline.Checkpoints.Objects;

namespace Pipeline.Tests.Checkpoints.Objects;

/// <summary>An object store in memory that fails at a chosen operation, as a process that dies there would.</summary>
internal sealed class MemoryObjects : IObjectStore
{
    private readonly ConcurrentDictionary<string, byte[]> _objects = new(StringComparer.Ordinal);
    private int _changes;

    /// <summary>The change (a put or a delete) from which on every one fails; int.MaxValue for none.</summary>
    public int FailFrom { get; set; } = int.MaxValue;

    public int ChangeCount => _changes;

    public string Address => "memory:";

    public IEnumerable<string> Keys => _objects.Keys.Order(StringComparer.Ordinal);

    public void Put(string key, Stream content)
    {
        Change();
        using MemoryStream copy = new();
        content.CopyTo(copy);
        _objects[key] = copy.ToArray();
    }

    public void Get(string key, Stream destination) =>
        destination.Write(_objects.TryGetValue(key, out var bytes) ? bytes : throw new CheckpointException($"Cannot read {key}: it is not there."));

    public IReadOnlyList<StoredObject> List(string prefix) =>
        [.. _objects.Where(pair => pair.Key.StartsWith(prefix, StringComparison.Ordinal)).OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => new StoredObject(pair.Key, pair.Value.Length))];

    public void Delete(IReadOnlyList<string> keys)
    {
        foreach (var key in keys)
        {
            Change();
            _objects.TryRemove(key, out _);
        }
    }

    /// <summary>Alters an object behind the store's back.</summary>
    public void Alter(string key, Func<byte[], byte[]> change) => _objects[key] = change([.. _objects[key]]);

    public void Lose(string key) => _objects.TryRemove(key, out _);

    private void Change()
    {
        if (Interlocked.Increment(ref _changes) > FailFrom) throw new CheckpointException("Cannot write: the connection was reset.");
    }
}
