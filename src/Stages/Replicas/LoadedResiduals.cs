using Pipeline.Checkpoints;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// What copies or a checkpoint hold beside stages, under the names that they give it, until a rank has asked for its part. Of a checkpoint, which has that of all ranks, a tensor is read when
/// it is asked for and no sooner. Owns tensors and checkpoint. On the compute thread only; fp32 on the host.
/// </summary>
internal sealed class LoadedResiduals : IDisposable
{
    private readonly Dictionary<string, Tensor> _tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _stored = new(StringComparer.Ordinal);
    private CheckpointReader? _checkpoint;

    /// <summary>All names with their numbers of elements.</summary>
    internal IEnumerable<(string Name, int Length)> All =>
        _tensors.Select(entry => (entry.Key, checked((int)entry.Value.numel()))).Concat(_stored.Select(entry => (entry.Key, checked((int)entry.Value))));

    /// <summary>Whether there is something of a name.</summary>
    internal bool Has(string name) => _tensors.ContainsKey(name) || _stored.ContainsKey(name);

    /// <summary>Holds a tensor; takes ownership.</summary>
    internal void Add(string name, Tensor tensor)
    {
        if (_tensors.Remove(name, out var former)) former.Dispose();
        _tensors.Add(name, tensor);
    }

    /// <summary>Knows of some tensors of a checkpoint.</summary>
    /// <param name="checkpoint">Where they lie; owned from now on.</param>
    /// <param name="isOf">Whether a name is one of them.</param>
    internal void Add(CheckpointReader checkpoint, Func<string, bool> isOf)
    {
        _checkpoint = checkpoint;
        foreach (var (name, stored) in checkpoint.Tensors.Where(tensor => isOf(tensor.Key))) _stored.Add(name, stored.Shape.Aggregate(1L, (count, size) => count * size));
    }

    /// <summary>The numbers of a name, which the caller owns and does not write; null for none.</summary>
    /// <exception cref="CheckpointException">Its bytes are not those that were saved.</exception>
    internal Tensor? Read(string name)
    {
        using var guard = no_grad();
        if (_tensors.TryGetValue(name, out var tensor)) return tensor.detach().DetachFromDisposeScope();
        if (!_stored.TryGetValue(name, out var length) || _checkpoint is null) return null;
        var place = empty(length, ScalarType.Float32, CPU).DetachFromDisposeScope();
        try
        {
            _checkpoint.Read(name, (offset, bytes) => bytes.CopyTo(place.bytes[checked((int)offset)..]));
            return place;
        }
        catch
        {
            place.Dispose();
            throw;
        }
    }

    /// <summary>The numbers of a name, which are the caller's from now on, if there are so many; null otherwise. They are forgotten here.</summary>
    /// <exception cref="CheckpointException">As in <see cref="Read"/>.</exception>
    internal Tensor? Take(string name, int length)
    {
        if (_tensors.Remove(name, out var tensor))
        {
            if (tensor.numel() == length) return tensor;
            tensor.Dispose();
            return null;
        }

        var found = _stored.GetValueOrDefault(name) == length ? Read(name) : null;
        _stored.Remove(name);
        return found;
    }

    /// <summary>Forgets everything.</summary>
    public void Dispose()
    {
        foreach (var tensor in _tensors.Values) tensor.Dispose();
        _tensors.Clear();
        _stored.Clear();
        _checkpoint?.Dispose();
        _checkpoint = null;
    }
}
